"""Errors of `quorum replay`.

::

    ReplayFileError (QuorumServerError)
    ├── RecordsUnreadable    a file of attempts cannot be read, or a row of it is not one
    ├── MalformedCombination a combination of policies on the command line is malformed
    ├── LibraryUnwritten     a library of budgets cannot be written
    └── PicturesUnavailable  pictures need matplotlib, or cannot be written
"""

from server.errors import QuorumServerError


class ReplayFileError(QuorumServerError):
    """The replay cannot read or write what it is asked to."""


class RecordsUnreadable(ReplayFileError):
    """A file cannot be read, or a row says what cannot be."""


class MalformedCombination(ReplayFileError):
    """A combination of policies, or a machine, is written in a way that names none."""


class PicturesUnavailable(ReplayFileError):
    """Pictures cannot be drawn or written."""


class LibraryUnwritten(ReplayFileError):
    """What budgets learn from cannot be written."""
