"""Errors of the symbolic check.

    EquivalenceError            (a QuorumServerError)
    └── WorkerError             a worker process could not be started or spoke nonsense

They stay within the package: a comparison that fails, for whatever reason, says nothing.
"""

from server.errors import QuorumServerError


class EquivalenceError(QuorumServerError):
    """Base of the errors of this package."""


class WorkerError(EquivalenceError):
    """A worker process could not be started, died, or did not speak its protocol."""
