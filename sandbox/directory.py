"""The private directory of a pool: one folder a kernel, all gone when the pool closes."""

import tempfile
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Self

import anyio
import anyio.to_thread

from sandbox.errors import SettingsError
from sandbox.removal import remove_tree
from sandbox.scratch import ScratchFolder, sweep

#: sockaddr_un.sun_path has 108 bytes, one of them for the closing zero (unix(7)).
_SOCKET_PATH_BYTES = 107

#: Room for a kernel's folder and the name of a socket in it: "/", 8 digits, "/", "c-5".
_SOCKET_SUFFIX_BYTES = 13

#: Removing a folder in which a model made a million files must not hold up a close for longer.
_REMOVAL_WAIT_S = 20.0

#: Nor may what dead pools left hold up a start.
_SWEEP_WAIT_S = 5.0


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
        await _in_thread(partial(remove_tree, self.path), _REMOVAL_WAIT_S)


class PoolDirectory:
    """An async context manager that makes the folder and removes it.

    It also removes what pools that were killed have left beside it.

    Raises:
        SettingsError: its path is too long for sockets, or it cannot be made.
    """

    def __init__(self, parent: Path | None) -> None:
        self._parent = Path(parent or tempfile.gettempdir()).resolve()
        self._numbers = count(1)
        self._scratch: ScratchFolder | None = None

    async def __aenter__(self) -> Self:
        try:
            self._scratch = ScratchFolder(self._parent)
        except OSError as error:
            raise SettingsError(
                f"directory {self._parent}: must be writable ({error}); set PoolSettings.directory"
            ) from error
        length = len(bytes(self._scratch.path)) + _SOCKET_SUFFIX_BYTES
        if length > _SOCKET_PATH_BYTES:
            self._scratch.remove()
            raise SettingsError(
                f"directory {self._parent}: a socket path in it has {length} bytes and must have"
                f" at most {_SOCKET_PATH_BYTES}; set PoolSettings.directory to a shorter path"
            )
        await _in_thread(partial(sweep, self._parent), _SWEEP_WAIT_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._scratch is not None:
            await _in_thread(self._scratch.remove, _REMOVAL_WAIT_S)
            self._scratch.release()

    def kernel_directory(self) -> KernelDirectory:
        """Make the folder of a new kernel."""
        if self._scratch is None:
            raise ValueError("pool directory not open: enter it before making kernel folders")
        directory = KernelDirectory(self._scratch.path / str(next(self._numbers)))
        directory.make()
        return directory


async def _in_thread(function: Callable[[], object], limit_s: float) -> None:
    """Call what may take long, shielded, and wait for it at most `limit_s`."""
    with anyio.CancelScope(shield=True), anyio.move_on_after(limit_s):
        try:
            await anyio.to_thread.run_sync(function, abandon_on_cancel=True)
        except RuntimeError:
            # No thread can be started: a cell has used up the system's processes.
            function()
