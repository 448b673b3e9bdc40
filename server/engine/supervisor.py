"""Keeps one engine process alive: started, awaited ready, its death noticed, restarted.

The back-off doubles from half a second to thirty, and is forgotten after a minute of health. All
who need the engine wait in `wait_ready` meanwhile, each bounded by its own deadline.
"""

import math
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from subprocess import PIPE

import anyio
import structlog
from anyio.abc import ByteReceiveStream, Process

from server.engine import lifecycle
from server.engine.base import EngineState
from server.engine.errors import EngineError, EngineFailed
from server.engine.lifecycle import Lifecycle, Proof
from server.engine.log_file import EngineLog
from server.groups import collapsed

log = structlog.get_logger(__name__)

BACK_OFF_FIRST_S = 0.5
BACK_OFF_MOST_S = 30.0
#: Health for this long makes earlier deaths count no more.
HEALTHY_AFTER_S = 60.0
#: Lines of the process' output kept for error texts: llama.cpp says why in the sixth-last.
TAIL_LINES = 6
TERMINATE_S = 3.0
#: What a dead process wrote is read in milliseconds, unless a child of its own keeps the pipe.
LAST_WORDS_S = 0.5
#: An engine that was never ready is tried this often: a damaged file stays damaged.
FIRST_STARTS = 2
KILL_S = 5.0


@dataclass(slots=True)
class Child:
    """One life of an engine process: its pipes, and the last lines that it wrote to stderr."""

    process: Process
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))
    silent: anyio.Event = field(default_factory=anyio.Event)

    async def death(self) -> str:
        """Wait for the process' end; return how it ended and what it wrote last, in one line."""
        code = await self.process.wait()
        with anyio.move_on_after(LAST_WORDS_S):
            await self.silent.wait()
        how = f"exit status {code}" if code >= 0 else signal.Signals(-code).name
        return f"{how}; its last lines: {' | '.join(self.tail) or 'none'}"


@asynccontextmanager
async def open_child(
    command: list[str], first_line: bytes, log_file: EngineLog | None = None
) -> AsyncIterator[Child]:
    """Run a process for the length of the block; leave nothing of it behind.

    `first_line` goes to its standard input, which stays open: its end tells the child that this
    process is gone.
    """
    # Cancelled in mid-start, the process would be nobody's to end.
    with anyio.CancelScope(shield=True):
        process = await anyio.open_process(
            command, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True
        )
    child = Child(process)
    try:
        if process.stdin is None or process.stderr is None:
            raise EngineFailed(f"{command[0]}: started without pipes; this is a defect")
        async with anyio.create_task_group() as group:
            group.start_soon(_keep_tail, process.stderr, child, log_file)
            with _broken_pipe_is_death():
                await process.stdin.send(first_line)
            yield child
            group.cancel_scope.cancel()
    finally:
        await _end(process)


class _broken_pipe_is_death:  # noqa: N801 - used like a function
    """A child that dies before it reads is reported by its exit, not by the pipe."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, anyio.BrokenResourceError)


async def _keep_tail(stream: ByteReceiveStream, child: Child, log_file: EngineLog | None) -> None:
    """Read lines to the end; of a long one only its end is kept."""
    rest = b""
    async for data in stream:
        if log_file is not None:
            log_file.write(data)
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            _keep_line(line, child)
        rest = rest[-4096:]
    _keep_line(rest, child)
    child.silent.set()


def _keep_line(line: bytes, child: Child) -> None:
    text = line[-500:].decode(errors="replace").strip()
    if text:
        child.tail.append(text)
        log.debug("engine.output", line=text)


async def _end(process: Process) -> None:
    """Terminate, wait, kill, wait: shielded but bounded."""
    with anyio.CancelScope(shield=True):
        if process.returncode is None:
            process.terminate()
            with anyio.move_on_after(TERMINATE_S):
                await process.wait()
        if process.returncode is None:
            process.kill()
            with anyio.move_on_after(KILL_S):
                await process.wait()
        # Its session outlives it where it had children of its own.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with anyio.move_on_after(KILL_S):
            await process.aclose()


class Supervisor(Lifecycle):
    """The life of one engine, over many processes.

    `launch` returns the command and the first line for its standard input, anew for every life.
    What the process writes to stderr is kept in `log_file`, where one is given.
    `prepare` returns once the child has answered a real request; what it opens on the exit stack
    lives as long as the process. It raises `ChildDied` when the process ends before that, and
    `EngineFailed` for what no restart would change. `needed` says whether nothing works without it.
    A process that lives and makes no tokens, by `proof`, is ended like one that died.
    """

    needed = True

    def __init__(
        self,
        name: str,
        launch: Callable[[], tuple[list[str], bytes]],
        prepare: Callable[[Child, AsyncExitStack], Awaitable[None]],
        *,
        start_timeout_s: float,
        max_restarts: int,
        log_file: EngineLog | None = None,
        proof: Proof | None = None,
    ) -> None:
        super().__init__(name, proof)
        self._launch = launch
        self._prepare = prepare
        self._start_timeout_s = start_timeout_s
        self._max_restarts = max_restarts
        self._log = log_file
        self._was_ready = False
        self._ready_at = math.inf
        self._hopeless = ""
        self.child: Child | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the engine alive for the length of the block."""
        with collapsed():
            async with anyio.create_task_group() as group:
                group.start_soon(self._keep_alive)
                try:
                    yield
                finally:
                    self._set(EngineState.STOPPED, f"{self._name} was stopped")
                    group.cancel_scope.cancel()

    async def _keep_alive(self) -> None:
        deaths = 0
        while True:
            self._ready_at = math.inf
            cause = await self._one_life()
            if anyio.current_time() - self._ready_at > HEALTHY_AFTER_S:
                deaths = 0
            if self._hopeless:
                self._give_up(self._hopeless)
                return
            deaths += 1
            log.warning("engine.died", engine=self._name, cause=cause, deaths=deaths)
            most = self._max_restarts if self._was_ready else FIRST_STARTS - 1
            if deaths > most:
                self._give_up(
                    f"{self._name} died {deaths} times in a row, at last with {cause}; correct the "
                    "cause and restart the server"
                )
                return
            self._set(EngineState.RESTARTING, f"{self._name} died: {cause}", died=True)
            await anyio.sleep(min(BACK_OFF_FIRST_S * 2 ** (deaths - 1), BACK_OFF_MOST_S))

    def _give_up(self, reason: str) -> None:
        tell = log.error if self.needed else log.info
        tell("engine.failed", engine=self._name, reason=reason)
        self._set(EngineState.FAILED, reason)

    async def _one_life(self) -> str:
        """Run one process from start to death; return the cause of death."""
        try:
            async with open_child(*self._launch(), self._log) as child, AsyncExitStack() as stack:
                return await self._get_ready(child, stack) or await self._serve(child)
        except OSError as error:
            return f"the process could not be started ({error})"

    async def _get_ready(self, child: Child, stack: AsyncExitStack) -> str | None:
        """Return why the process did not get ready, if it did not."""
        try:
            with anyio.fail_after(self._start_timeout_s):
                await self._prepare(child, stack)
        except TimeoutError:
            return f"not ready within {self._start_timeout_s:g} s; raise engine.start_timeout_s"
        except ChildDied as error:
            return str(error)
        except EngineFailed as error:
            self._hopeless = str(error)
            return self._hopeless
        except EngineError as error:
            # A request that failed may be the first sign of a death, whose own words say more.
            with anyio.move_on_after(lifecycle.DEATH_SEEN_S):
                return await child.death()
            return str(error)
        return None

    async def _serve(self, child: Child) -> str:
        """Be ready until the process dies or stops working; return how it did."""
        self.child = child
        self._was_ready = True
        self._ready_at = anyio.current_time()
        self._set(EngineState.READY, f"{self._name} is ready")
        log.info("engine.ready", engine=self._name, pid=child.process.pid)
        try:
            hang = await self._until_death_or_hang(child)
        finally:
            self.child = None
        if hang:
            # At once: ending it may take seconds, in which nobody should ask it.
            self._set(EngineState.RESTARTING, f"{self._name} {hang}")
        return hang or await child.death()

    async def _until_death_or_hang(self, child: Child) -> str:
        """Return nothing for a death, and what was wrong for a process that is to be ended."""
        hang = ""
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                nonlocal hang
                hang = f"stopped working: {await self.stops_working()}"
                group.cancel_scope.cancel()

            group.start_soon(watch)
            await child.process.wait()
            group.cancel_scope.cancel()
        return hang


class ChildDied(Exception):
    """The process ended before it was ready."""
