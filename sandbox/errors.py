"""Errors of the sandbox, one tree; each message states constraint, value and remedy.

::

    SandboxError
    ├── SettingsError          a setting is out of range (the operator fixes it)
    ├── ConfinementError       this machine does not confine kernels as the settings require
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
        └── TemplateError      the process that kernels are forked from did not come up, or is lost
            ├── TemplateImportError     it cannot import a module
            └── ForkingImpossibleError  nothing can be forked here: kernels are started cold

What happens inside a cell is never an exception: it is a `sandbox.types.CellResult`.
"""


class SandboxError(Exception):
    """Base of every error that this package raises."""

    is_user_error = True
    """The command line prints the sentence and exits with 1."""


class SettingsError(SandboxError, ValueError):
    """A pool setting is out of its range."""


class ConfinementError(SandboxError, RuntimeError):
    """Kernels cannot be confined as `PoolSettings.require` asks for."""


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


class TemplateError(KernelStartError):
    """The template process did not start, does not answer, or was lost."""


class TemplateImportError(TemplateError):
    """The template cannot import a module that it is to preload."""

    def __init__(self, module: str, reason: str) -> None:
        super().__init__(
            f"module {module!r}: must be importable ({reason}); install it or take it out of"
            " PoolSettings.preload"
        )
        self.module = module


class ForkingImpossibleError(TemplateError):
    """Kernels cannot be forked in this place, whatever is tried."""
