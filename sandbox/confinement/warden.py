"""The pool's side of the warden (`sandbox.confinement.warden_process`)."""

import json
import logging
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import anyio

from sandbox.errors import ConfinementError
from sandbox.process import ChildProcess, wait_readable

_logger = logging.getLogger(__name__)

#: Where our packages are: last, so that nothing beside them takes a standard module's place.
_ROOT = Path(__file__).resolve().parent.parent.parent
_PROGRAM = """\
import sys
sys.path.append(sys.argv.pop(1))
from sandbox.confinement.warden_process import main
main()
"""

#: A bare interpreter starts in 20 ms; a machine that needs this long cannot run kernels either.
_START_WAIT_S = 20.0

#: The warden gives up on processes that resist after four seconds.
_RELEASE_WAIT_S = 5.0

#: Nothing of the server's.
_ENVIRONMENT: Final[dict[str, str]] = {}

#: Between the death of a warden and the next one's start.
_RESTART_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Watch:
    """One kernel as the warden sees it: its user or brand, and what it may use, in bytes."""

    uid: int | None
    brand: int | None
    memory: int
    scratch: int
    #: The longest file that it can write.
    file: int
    path: str


class Warden:
    """A running warden. Nothing here raises once it is open: a lost warden is replaced."""

    def __init__(self, own_uid: int | None, on_breach: Callable[[int, str], None]) -> None:
        self._command = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(_ROOT)]
        if own_uid is not None:
            self._command.append(str(own_uid))
        self._on_breach = on_breach
        self._watched: dict[int, Watch] = {}
        self._released: dict[int, anyio.Event] = {}
        self._link: socket.socket | None = None
        self._closing = False

    def watch(self, number: int, watch: Watch) -> None:
        """Watch a kernel from now on."""
        self._watched[number] = watch
        self._ask("watch", number, watch=asdict(watch))

    def kill(self, number: int) -> None:
        """Have all processes of a kernel killed soon."""
        self._ask("kill", number)

    async def release(self, number: int) -> None:
        """Kill all processes of a kernel and forget it; shielded, in bounded time."""
        if self._watched.pop(number, None) is None:
            return
        released = self._released[number] = anyio.Event()
        self._ask("release", number)
        with anyio.CancelScope(shield=True), anyio.move_on_after(_RELEASE_WAIT_S) as waiting:
            await released.wait()
        self._released.pop(number, None)
        if waiting.cancelled_caught:
            _logger.error("processes of kernel %d: the warden does not answer", number)

    async def run(self, ready: anyio.Event) -> None:
        """Keep a warden running until `close`; sets `ready` at each start."""
        while not self._closing:
            try:
                end = await self._live(ready)
            except OSError as error:
                end = str(error)
            self._give_up_releases()
            if not self._closing:
                _logger.error("warden lost (%s): starting another", end)
                await anyio.sleep(_RESTART_PAUSE_S)

    async def _live(self, ready: anyio.Event) -> str:
        """Run one warden to its end; returns how it ended."""
        here, there = socket.socketpair()
        with here:
            try:
                process = self._spawn(there)
            finally:
                there.close()
            try:
                await self._attend(here, ready)
            finally:
                self._link = None
                await _wind_up(here, process)
        return await process.exit_cause()

    def close(self) -> None:
        """Have the warden end all that it watches, and itself."""
        self._closing = True
        if self._link is not None:
            self._link.shutdown(socket.SHUT_WR)

    def _spawn(self, link: socket.socket) -> ChildProcess:
        # In a session of its own: keys pressed in the terminal do not end it.
        process = subprocess.Popen(
            self._command,
            stdin=link.fileno(),
            stdout=subprocess.DEVNULL,
            env=_ENVIRONMENT,
            cwd="/",
            start_new_session=True,
        )
        return ChildProcess(process)

    async def _attend(self, link: socket.socket, ready: anyio.Event) -> None:
        link.setblocking(False)
        self._link = link
        for number, watch in self._watched.items():
            self._ask("watch", number, watch=asdict(watch))
        pending = b""
        while True:
            await anyio.wait_readable(link)
            try:
                data = link.recv(65536)
            except ConnectionError:
                return
            if not data:
                return
            ready.set()
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                self._hear(json.loads(line))

    def _hear(self, report: dict[str, Any]) -> None:
        number = report.get("number", 0)
        if "breach" in report:
            self._on_breach(number, report["breach"])
        if "left" in report:
            if report["left"]:
                _logger.error("kernel %d: %d processes resist SIGKILL", number, report["left"])
            if event := self._released.get(number):
                event.set()

    def _ask(self, action: str, number: int, **details: object) -> None:
        if self._link is None:
            return
        line = json.dumps({"do": action, "number": number, **details}).encode() + b"\n"
        try:
            self._link.sendall(line)
        except OSError as error:
            # A warden that does not read is as good as dead: its end brings the next one.
            _logger.error("warden does not listen: %s", error)
            self._link.shutdown(socket.SHUT_RDWR)

    def _give_up_releases(self) -> None:
        for event in self._released.values():
            event.set()


@asynccontextmanager
async def open_warden(
    own_uid: int | None, on_breach: Callable[[int, str], None]
) -> AsyncIterator[Warden]:
    """Start a warden, and end it with all that it watches.

    Args:
        own_uid: a user id for it alone, where kernels have users of their own.
        on_breach: told the number of a kernel that was ended for what it used, and the reason.

    Raises:
        ConfinementError: it does not start.
    """
    warden = Warden(own_uid, on_breach)
    ready = anyio.Event()
    failure: Exception | None = None
    # Whoever is cancelled around it still releases kernels on the way out.
    life = anyio.CancelScope(shield=True)

    async def live() -> None:
        with life:
            await warden.run(ready)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(live)
        try:
            with anyio.move_on_after(_START_WAIT_S) as starting:
                await ready.wait()
            if starting.cancelled_caught:
                raise ConfinementError(
                    f"warden: must be up within {_START_WAIT_S:g} s; see whether"
                    f" {sys.executable} runs"
                )
            yield warden
        except Exception as error:  # noqa: BLE001 - raised where no task group wraps it
            failure = error
        finally:
            warden.close()
            # One that does not end by itself is killed.
            life.deadline = anyio.current_time() + _RELEASE_WAIT_S
    if failure is not None:
        raise failure


async def _wind_up(link: socket.socket, process: ChildProcess) -> None:
    """Let the warden finish its work, for a while; then kill it."""
    with anyio.CancelScope(shield=True):
        link.close()
        with anyio.move_on_after(_RELEASE_WAIT_S):
            await wait_readable([process.exit_descriptor])
        await process.aclose()
