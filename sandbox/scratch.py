"""Temporary folders that are known to be left: after a SIGKILL, the next start removes them.

The owner of a folder holds a lock (flock(2)) on a file in it. The system lets go of the lock when
the owner dies, however it dies; a process id could be another's by then. The file gets its name
when it is locked already, so a folder without one is never taken for a left one.
"""

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from sandbox.removal import open_folder, remove_entry

#: All temporary folders of Quorum begin so.
PREFIX = "quorum-"
LOCK_FILE = "lock"
_UNLOCKED_FILE = "lock-new"


class ScratchFolder:
    """A new private folder, locked until it is removed or its maker dies.

    Its descendants keep it locked only if they inherit the descriptor over an exec, which none do.
    """

    def __init__(self, parent: Path | None = None, purpose: str = "") -> None:
        """Make a folder `quorum-PURPOSE…` in `parent`, by default the system's temporary folder.

        Raises `OSError` when it cannot be made.
        """
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX + purpose, dir=parent))
        self._lock = _lock(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove it with all that is in it, as far as that can be; its lock goes last."""
        with suppress(OSError), open_folder(self.path) as folder:
            _empty(folder)
        with suppress(OSError):
            self.path.rmdir()
        self.release()

    def release(self) -> None:
        """Let go of the lock: what is left of the folder is for `sweep`."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def sweep(parent: Path | None = None) -> list[Path]:
    """Remove the folders of dead owners in `parent`; return those that are gone.

    Only this user's own folders are touched, and only through descriptors: no symbolic link is
    followed. Two sweeps at once do no harm, since the first one holds the lock.
    """
    swept = []
    with suppress(OSError):
        for entry in os.scandir(parent or tempfile.gettempdir()):
            if entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    _sweep_folder(Path(entry.path))
                    swept.append(Path(entry.path))
    return swept


def _sweep_folder(path: Path) -> None:
    """Remove a left folder; raises `OSError` (`BlockingIOError`: its owner lives) otherwise."""
    with open_folder(path) as folder, _taken_lock(folder):
        _empty(folder)
        path.rmdir()


@contextmanager
def _taken_lock(folder: int) -> Iterator[None]:
    # O_NONBLOCK: what has the name of the lock could be a pipe
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    lock = os.open(LOCK_FILE, flags, dir_fd=folder)
    try:
        own = all(os.fstat(each).st_uid == os.geteuid() for each in (folder, lock))
        if not own or not stat.S_ISREG(os.fstat(lock).st_mode):
            raise PermissionError("not a folder of this user's")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(lock)


def _lock(path: Path) -> int | None:
    """Put a locked file into a new folder; None where the file system knows no locks."""
    try:
        lock = os.open(path / _UNLOCKED_FILE, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (path / _UNLOCKED_FILE).rename(path / LOCK_FILE)
    except OSError:
        os.close(lock)
        return None
    return lock


def _empty(folder: int) -> None:
    """Remove all that is in a folder, the lock last: a sweep that is cut off goes on next time."""
    for name in os.listdir(folder):
        if name != LOCK_FILE:
            remove_entry(name, folder)
    if os.listdir(folder) == [LOCK_FILE]:
        os.unlink(LOCK_FILE, dir_fd=folder)
