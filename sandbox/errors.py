"""Errors of the sandbox, one tree; each message states constraint, value and remedy.

::

    SandboxError
    ├── SettingsError          a setting is out of range (the operator fixes it)
    ├── CellRequestError       a cell was refused before anything ran (the caller handles it)
    │   ├── CodeTooLargeError
    │   └── CellTimeoutError   the time-out asked for is no time-out
    ├── LeaseError             a lease is used against its contract (the developer fixes it)
    │   ├── LeaseReleasedError
    │   ├── LeaseNotEnteredError
    │   └── LeaseBusyError
    ├── PoolClosedError        the pool is not open
    ├── PoolNotReadyError      the spares did not come in the time given
    └── KernelStartError       a kernel did not come up

What happens inside a cell is never an exception: it is a `sandbox.types.CellResult`.
"""


class SandboxError(Exception):
    """Base of every error that this package raises."""

    is_user_error = True
    """The command line prints the sentence and exits with 1."""


class SettingsError(SandboxError, ValueError):
    """A pool setting is out of its range."""


class CellRequestError(SandboxError, ValueError):
    """A cell was refused; nothing ran and the kernel's state is unchanged."""


class CodeTooLargeError(CellRequestError):
    """The cell's source is longer than `PoolSettings.max_code_bytes`."""


class CellTimeoutError(CellRequestError):
    """The time-out is zero, negative, infinite or not a number."""


class LeaseError(SandboxError, RuntimeError):
    """A lease is used against its contract."""


class LeaseReleasedError(LeaseError):
    """The lease has ended: its kernel is gone."""


class LeaseNotEnteredError(LeaseError):
    """The lease is used outside `async with`, or entered a second time."""


class LeaseBusyError(LeaseError):
    """A cell of this lease is still running."""


class PoolClosedError(SandboxError, RuntimeError):
    """The pool is not open (not yet, or no longer)."""


class PoolNotReadyError(SandboxError, TimeoutError):
    """The pool did not have its spare kernels in the time given."""


class KernelStartError(SandboxError, RuntimeError):
    """A kernel did not start: it exited, was silent too long, or its start-up code failed."""
