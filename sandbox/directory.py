"""The private directory of a pool: one folder a kernel, all gone when the pool closes."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Self

import anyio
import anyio.to_thread

from sandbox.errors import SettingsError

#: sockaddr_un.sun_path has 108 bytes, one of them for the closing zero (unix(7)).
_SOCKET_PATH_BYTES = 107

#: Room for a kernel's folder and the name of a socket in it: "/", 8 digits, "/", "c-5".
_SOCKET_SUFFIX_BYTES = 13

#: Removing a folder in which a model made a million files must not hold up a close for longer.
_REMOVAL_WAIT_S = 20.0


class KernelDirectory:
    """The folder of one kernel: what the pool and the kernel share, and the cells' own `home`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: The kernel's working directory, HOME and TMPDIR.
        self.home = path / "home"
        #: IPython's profile, apart from what cells see.
        self.profile = path / "profile"
        self.connection_file = path / "connection.json"
        #: What the process writes before it is ready.
        self.start_log = path / "start.log"
        #: Sockets are this with "-1" to "-5" added.
        self.socket_prefix = path / "c"

    def make(self) -> None:
        """Create the folders, for this user only."""
        for path in (self.path, self.home, self.profile):
            path.mkdir(mode=0o700)

    async def remove(self) -> None:
        """Delete it with all that cells left in it, shielded, in bounded time."""
        await _remove_tree(self.path)


class PoolDirectory:
    """An async context manager that makes the folder and removes it.

    Raises:
        SettingsError: its path is too long for sockets, or it cannot be made.
    """

    def __init__(self, parent: Path | None) -> None:
        self._parent = Path(parent or tempfile.gettempdir()).resolve()
        self._numbers = count(1)
        self._path: Path | None = None

    async def __aenter__(self) -> Self:
        try:
            self._path = Path(tempfile.mkdtemp(prefix="quorum-", dir=self._parent))
        except OSError as error:
            raise SettingsError(
                f"directory {self._parent}: must be writable ({error}); set PoolSettings.directory"
            ) from error
        length = len(bytes(self._path)) + _SOCKET_SUFFIX_BYTES
        if length > _SOCKET_PATH_BYTES:
            self._path.rmdir()
            raise SettingsError(
                f"directory {self._parent}: a socket path in it has {length} bytes and must have"
                f" at most {_SOCKET_PATH_BYTES}; set PoolSettings.directory to a shorter path"
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._path is not None:
            await _remove_tree(self._path)

    def kernel_directory(self) -> KernelDirectory:
        """Make the folder of a new kernel."""
        if self._path is None:
            raise ValueError("pool directory not open: enter it before making kernel folders")
        directory = KernelDirectory(self._path / str(next(self._numbers)))
        directory.make()
        return directory


async def _remove_tree(path: Path) -> None:
    with anyio.CancelScope(shield=True), anyio.move_on_after(_REMOVAL_WAIT_S):
        try:
            await anyio.to_thread.run_sync(partial(_remove_tree_now, path), abandon_on_cancel=True)
        except RuntimeError:
            # No thread can be started: a cell has used up the system's processes.
            _remove_tree_now(path)


def _remove_tree_now(path: Path) -> None:
    try:
        shutil.rmtree(path)
    except (OSError, RecursionError):
        # A cell can take the permissions of its folders away, nest them deeper than Python calls
        # may be, or have left a process that still writes.
        _remove_flattened(path)


def _remove_flattened(path: Path) -> None:
    """Remove a tree of any depth: each folder is moved up to the top before it is emptied."""
    folders = [path]
    names = (path.with_name(f"{path.name}-{number}") for number in count(1))
    while folders:
        folder = folders.pop()
        with suppress(OSError):
            folder.chmod(stat.S_IRWXU)
            for entry in list(os.scandir(folder)):
                _unlink_or_move(entry, folders, names)
            folder.rmdir()


def _unlink_or_move(entry: "os.DirEntry[str]", folders: list[Path], names: Iterator[Path]) -> None:
    with suppress(OSError):
        if entry.is_dir(follow_symlinks=False):
            # To be moved, a folder must be writable itself: its `..` changes.
            Path(entry).chmod(stat.S_IRWXU)
            folders.append(Path(entry).rename(next(names)))
        else:
            Path(entry).unlink()
