"""Errors of the journal, each one sentence with its remedy, and the translation of SQLite's.

::

    JournalError (QuorumServerError)
    ├── JournalInUse         another server writes this file
    ├── JournalUnusable      the file cannot be made, or belongs to another program
    ├── JournalUnreadable    a reader finds no journal there, or one that it cannot read
    │   └── JournalDamaged   its content is wrong, and will not get better by waiting
    ├── NotWrittenYet        a solve is on its way to the file, and not in memory any more
    ├── UnknownSolve         no solve of that id is recorded, or it has no such attempt
    ├── ExportFailed         the export cannot be written
    └── MalformedOption      a value on the command line is not as it should be; exit code 2

None of them ends a solve: a server whose journal cannot be had says so and goes on without.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.errors import QuorumServerError

#: What SQLite says of a file whose content is wrong: it will not get better by waiting.
DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
#: What SQLite says where it may not read, or may not write the files that it keeps beside.
FORBIDDEN = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM})
#: SQLite's primary result code is the low byte of the extended one.
PRIMARY = 0xFF

#: What to do about a file whose content is wrong.
REPAIR = (
    "export what can still be read, with --since and --until around the damage, and move the file "
    "away with those beside it: the next server begins a new one"
)


class JournalError(QuorumServerError):
    """The journal cannot be opened, read or written; the message says what to do."""


class JournalInUse(JournalError):
    """Another process holds the journal."""


class JournalUnusable(JournalError):
    """No journal can be kept at this path."""


class JournalUnreadable(JournalError):
    """There is no journal at this path, or it cannot be read."""


class JournalDamaged(JournalUnreadable):
    """The content of the journal's file is wrong."""


class NotWrittenYet(JournalError):
    """A solve has ended and is on its way to the file; there was no room to keep it till then."""

    retry_after_s = 2.0

    def __init__(self, solve_id: str) -> None:
        super().__init__(
            f"solve {solve_id[:80]!r}: has ended, and waits to be written to the journal, which is "
            "behind (GET /ready says why); ask again, or make room on its disk"
        )


class UnknownSolve(JournalError):
    """No solve of that id is recorded, or it has no such attempt."""


class ExportFailed(JournalError):
    """An export cannot be written."""


class MalformedOption(JournalError):
    """A value on the command line is not as it should be."""

    exit_code = 2


def error_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code; 0 where the module itself complains."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & PRIMARY


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file's content is wrong, as against an operation that may succeed later."""
    return error_code(error) in DAMAGE


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Translate what SQLite raises while a journal is read."""
    try:
        yield
    # The latter is of an error's own text, which quotes a schema that is no UTF-8 any more.
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if isinstance(error, UnicodeDecodeError) or is_damage(error):
            raise JournalDamaged(f"journal {path}: damaged ({error}); {REPAIR}") from error
        if error_code(error) in FORBIDDEN:
            sentence = (
                "cannot be opened; see that you may read it, copy it with the files beside it to a "
                "folder that can be written, or name another one with --journal"
            )
        else:
            sentence = "cannot be read now; try again, or name another one with --journal"
        raise JournalUnreadable(f"journal {path}: {sentence} ({error})") from error
