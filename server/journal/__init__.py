"""The journal: every event and every token of every solve, in one SQLite file.

`Journal` writes it behind the solve loop, `JournalReader` reads it from anywhere, and the commands
of `quorum journal` list, show, export, prune and check it.
"""

from server.journal.errors import (
    ExportFailed,
    JournalError,
    JournalInUse,
    JournalUnreadable,
    JournalUnusable,
    UnknownSolve,
)
from server.journal.journal import Journal, JournalOptions, JournalStatus
from server.journal.reader import JournalReader
from server.journal.unfinished import UnfinishedAttempt, UnfinishedSolve

__all__ = [
    "ExportFailed",
    "Journal",
    "JournalError",
    "JournalInUse",
    "JournalOptions",
    "JournalReader",
    "JournalStatus",
    "JournalUnreadable",
    "JournalUnusable",
    "UnfinishedAttempt",
    "UnfinishedSolve",
    "UnknownSolve",
]
