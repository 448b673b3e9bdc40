"""Errors of runs, each one sentence with its remedy.

::

    RunError (QuorumServerError)
    ├── UnknownRun         no run of that id
    ├── FinishedRun        it takes no more problems
    └── LibraryUnreadable  the file of `runs.library` cannot be read, or is none
"""

from server.errors import QuorumServerError


class RunError(QuorumServerError):
    """A run cannot be used so; the message says what to do."""


class UnknownRun(RunError):
    """There is no run of that id."""


class FinishedRun(RunError):
    """The run takes no more problems."""


class LibraryUnreadable(RunError):
    """What the adaptive budget is to begin with cannot be had."""
