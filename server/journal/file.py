"""The journal's file: held by one writer, opened whatever its state, replaced when it is bad."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import structlog

from server.journal.errors import JournalInUse, JournalUnusable, error_code, is_damage
from server.journal.migrations import (
    APPLICATION_ID,
    columns,
    expected_columns,
    migrate,
    schema_version,
    scripts,
)
from server.journal.rows import text_of
from server.regular import require_regular

log = structlog.get_logger(__name__)

Read = TypeVar("Read")

#: SQLite keeps these beside the file: what is not yet in it, and an index of that.
SIDE_FILES = ("-wal", "-shm")
#: The pages of a file are checked for at most this long at its opening: 1 GiB from a fast disk.
#: What is not reached is found when it is read, or by `quorum journal check`.
CHECK_S = 3.0
#: SQLite steps between two looks at the clock: about a millisecond.
CHECK_STEPS = 10_000
#: How long a write waits for another process, as `quorum journal prune`, which writes in short
#: transactions.
BUSY_MS = 2_000
#: Bytes to which the -wal file is cut once its content is in the file.
WAL_KEPT = 16 * 2**20


class Defect(StrEnum):
    """Why a file cannot be written on; the word is part of the name under which it is kept."""

    DAMAGED = "damaged"
    NEWER = "newer"
    READ_ONLY = "read-only"


class UnfitFile(Exception):
    """A file that is to be set aside."""

    def __init__(self, defect: Defect, detail: str) -> None:
        super().__init__(f"{defect.value}: {detail}")
        self.defect = defect


class JournalFile:
    """An open journal, locked against other writers until `close`.

    Not safe for use by two threads at once; made in one thread, it may be used in another.
    """

    def __init__(self, path: Path, lock: int, set_aside: list[Path] | None = None) -> None:
        self.path = path
        self._inode = (0, 0)
        self.set_aside = [] if set_aside is None else set_aside
        """What was found in the journal's place and could not be written on; added to."""
        self._lock = lock
        self.connection = self._open()

    @classmethod
    def open(cls, path: Path, set_aside: list[Path] | None = None) -> "JournalFile":
        """Open the journal, or begin one; a file that is unfit is kept under another name.

        That name is added to `set_aside`, also where no new file can be begun.

        Raises:
            JournalInUse: another process writes it.
            JournalUnusable: the folder cannot be written, or the file belongs to another program.
        """
        # By any name of a file there is one lock, and SQLite's own files lie beside the real one.
        path = Path(os.path.realpath(path))
        lock = _take_lock(path)
        try:
            return cls(path, lock, set_aside)
        except BaseException:
            os.close(lock)
            raise

    def first_read(self, read: Callable[[sqlite3.Connection], Read]) -> Read:
        """Return what a function reads; what shows only then to be damaged is set aside as well.

        Raises:
            JournalUnusable, JournalInUse: as for `open`.
        """
        try:
            return read(self.connection)
        except sqlite3.Error as error:
            translated = _translated(error, self.path)
            if not isinstance(translated, UnfitFile):
                raise translated from error
            self.set_aside_open(translated.defect, str(translated))
        self.reopen()
        return read(self.connection)

    def set_aside_open(self, defect: Defect, detail: str) -> None:
        """Close the file and keep it under another name; then `reopen` begins a new one.

        Raises:
            JournalUnusable: it cannot be renamed.
        """
        with suppress(sqlite3.Error):
            self.connection.close()
        self._set_aside(defect, detail)

    def reopen(self) -> None:
        """Open the file again, or begin one.

        Raises:
            JournalUnusable, JournalInUse: as for `open`.
        """
        # First: SQLite removes its files by their names. It writes back by itself what is in the
        # -wal file of one that is in its place only, and one that was moved is kept by somebody.
        with suppress(sqlite3.Error):
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with suppress(sqlite3.Error):
            self.connection.close()
        if _inode_of(f"{self.path}.lock") != _inode(os.fstat(self._lock)):
            lock = _take_lock(self.path)
            os.close(self._lock)
            self._lock = lock
        self.connection = self._open()

    @property
    def in_place(self) -> bool:
        """Whether what is written is the file of this name: it may be moved or removed."""
        return _inode_of(self.path) == self._inode

    def close(self) -> None:
        """Write back what is in the -wal file, close, and let another writer in."""
        try:
            with suppress(sqlite3.Error):
                self.connection.close()
        finally:
            os.close(self._lock)

    def _open(self) -> sqlite3.Connection:
        connection = self._open_or_begin()
        self._inode = _inode_of(self.path)
        return connection

    def _open_or_begin(self) -> sqlite3.Connection:
        try:
            return _open_fit(self.path)
        except UnfitFile as unfit:
            self._set_aside(unfit.defect, str(unfit))
        try:
            return _open_fit(self.path)
        except UnfitFile as unfit:
            raise JournalUnusable(
                f"journal {self.path}: a new one cannot be written ({unfit}); set "
                "QUORUM_JOURNAL_PATH to a path on a sound disk"
            ) from unfit

    def _set_aside(self, defect: Defect, detail: str) -> None:
        """Rename the file and those beside it, so that they still fit each other."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        name = f"{self.path.name}.{defect.value}-{stamp}"
        kept = self.path.with_name(name)
        number = 1
        while kept.exists():
            number += 1
            kept = self.path.with_name(f"{name}-{number}")
        try:
            for suffix in ("", *SIDE_FILES):
                with suppress(FileNotFoundError):
                    Path(f"{self.path}{suffix}").rename(f"{kept}{suffix}")
        except OSError as error:
            raise JournalUnusable(
                f"journal {self.path}: {detail}, and cannot be set aside ({error.strerror}); make "
                "its folder writable, or set QUORUM_JOURNAL_PATH"
            ) from error
        self.set_aside.append(kept)
        log.warning("journal.set_aside", path=str(self.path), reason=detail, kept_as=str(kept))


def _inode_of(path: Path | str) -> tuple[int, int]:
    """Return what a name stands for now; zeros for nothing."""
    try:
        return _inode(os.stat(path))  # noqa: PTH116 - once a batch
    except OSError:
        return 0, 0


def _inode(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _take_lock(path: Path) -> int:
    """Return a descriptor that holds the lock file, which stays: removing it would let two in."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalUnusable(
            f"journal {path}: its folder cannot be written ({error.strerror}); make it writable, "
            "or set QUORUM_JOURNAL_PATH"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode("ascii", "replace") or "unknown"
        os.close(lock)
        raise JournalInUse(
            f"journal {path}: process {holder} writes it, and only one may; set "
            "QUORUM_JOURNAL_PATH to another file, or stop that server"
        ) from None
    except OSError as error:
        # Some file systems have no locks.
        os.close(lock)
        raise JournalUnusable(
            f"journal {path}: cannot be locked ({error.strerror}); set QUORUM_JOURNAL_PATH to a "
            "path on a local disk"
        ) from error
    # The holder's number is for the sentence above alone: a full disk may keep it out.
    with suppress(OSError):
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def _open_fit(path: Path) -> sqlite3.Connection:
    """Open the file, making it where it is missing, and see that it can be written on."""
    try:
        # SQLite gives the files beside it the same permissions.
        _make(path)
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=64,
        )
    except PermissionError as error:
        raise UnfitFile(Defect.READ_ONLY, f"it may not be opened ({error.strerror})") from error
    except (OSError, sqlite3.Error) as error:
        raise JournalUnusable(
            f"journal {path}: cannot be opened ({error}); set QUORUM_JOURNAL_PATH"
        ) from error
    try:
        _prepare(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise _translated(error, path) from error
    except UnicodeDecodeError as error:
        # The text of an error, which quotes what is damaged.
        connection.close()
        raise UnfitFile(Defect.DAMAGED, f"malformed schema ({error})") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _make(path: Path) -> None:
    """See that there is a file at the path; a pipe would be waited for without an end."""
    flags = os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o600)
    try:
        require_regular(os.fstat(descriptor))
    finally:
        os.close(descriptor)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.text_factory = text_of
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    _check_owner(connection, path)
    version = schema_version(connection)
    if version < 0:
        raise UnfitFile(Defect.DAMAGED, f"its schema is version {version}")
    if version > len(scripts()):
        raise UnfitFile(
            Defect.NEWER,
            f"its schema is version {version}, and this program knows up to {len(scripts())}",
        )
    _check_pages(connection)
    # Takes effect in an empty file only, and has to come before everything that writes.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT}")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("ROLLBACK")
    migrate(connection, scripts())
    if missing := expected_columns() - columns(connection):
        raise UnfitFile(Defect.DAMAGED, f"without {', '.join(map('.'.join, sorted(missing)))}")


def _check_owner(connection: sqlite3.Connection, path: Path) -> None:
    """See that the database is ours: another program's is neither written nor renamed."""
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if owner != APPLICATION_ID and {"solves", "attempts", "events", "segments"} <= tables:
        raise UnfitFile(Defect.DAMAGED, f"a journal whose application id is {owner:#x}")
    if owner != APPLICATION_ID and tables:
        raise JournalUnusable(
            f"journal {path}: it is another program's database; set QUORUM_JOURNAL_PATH to "
            "another path"
        )


def _check_pages(connection: sqlite3.Connection) -> None:
    """Look for malformed pages, for a bounded time."""
    until = time.monotonic() + CHECK_S
    connection.set_progress_handler(lambda: time.monotonic() > until, CHECK_STEPS)
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error_code(error) != sqlite3.SQLITE_INTERRUPT:
            raise
        return
    finally:
        connection.set_progress_handler(None, 0)
    if found != "ok":
        raise UnfitFile(Defect.DAMAGED, str(found))


def _translated(error: sqlite3.Error, path: Path) -> Exception:
    """Return what an error at opening means."""
    code = error_code(error)
    # A statement of ours that makes no sense to SQLite: the tables are not those that we made.
    if is_damage(error) or code == sqlite3.SQLITE_ERROR:
        return UnfitFile(Defect.DAMAGED, str(error))
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return UnfitFile(Defect.READ_ONLY, str(error))
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return JournalInUse(
            f"journal {path}: another process holds it ({error}); end that one, or set "
            "QUORUM_JOURNAL_PATH to another file"
        )
    return JournalUnusable(
        f"journal {path}: cannot be opened ({error}); free space on its disk, or set "
        "QUORUM_JOURNAL_PATH"
    )
