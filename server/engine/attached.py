"""Watches an engine that somebody else runs: probed, never started, awaited when it is gone."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import structlog

from server.engine.base import EngineState
from server.engine.errors import EngineError, EngineFailed
from server.engine.lifecycle import DEATH_SEEN_S, Lifecycle, Proof
from server.groups import collapsed

log = structlog.get_logger(__name__)

#: Between two looks at an engine of which no stream complains.
PROBE_INTERVAL_S = 5.0
PROBE_S = 5.0
#: A busy server may miss one probe; one that misses two in a row is gone.
MISSES = 2
BACK_OFF_FIRST_S = 0.5
BACK_OFF_MOST_S = 15.0


class Attached(Lifecycle):
    """The life of an engine at a URL.

    `prepare` returns once the server has answered a real generation; what it opens on the stack
    stays open until the server is lost. It raises `EngineFailed` for what no waiting would change.
    `probe` raises an `EngineError` when the server does not answer; one that answers and makes no
    tokens, by `proof`, is not used until it does. Whoever runs the server may start it later than
    the gateway, so it is never given up: each caller bounds its own wait.
    """

    def __init__(
        self,
        name: str,
        prepare: Callable[[AsyncExitStack], Awaitable[None]],
        probe: Callable[[], Awaitable[None]],
        *,
        start_timeout_s: float,
        proof: Proof | None = None,
    ) -> None:
        super().__init__(name, proof)
        self._prepare = prepare
        self._probe = probe
        self._start_timeout_s = start_timeout_s
        self._suspected = anyio.Event()
        self._looked = anyio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch the server for the length of the block."""
        with collapsed():
            async with anyio.create_task_group() as group:
                group.start_soon(self._watch)
                try:
                    yield
                finally:
                    self._set(EngineState.STOPPED, f"{self._name} is not used any more")
                    group.cancel_scope.cancel()

    async def confirm_death(self) -> None:
        """Have the server looked at now; return when that is done, or after some seconds."""
        if self._status.state is not EngineState.READY:
            return
        self._suspected.set()
        looked = self._looked
        with anyio.move_on_after(PROBE_S + DEATH_SEEN_S):
            await looked.wait()

    async def _watch(self) -> None:
        pause = BACK_OFF_FIRST_S
        while True:
            async with AsyncExitStack() as stack:
                problem = await self._reach(stack)
                if self._status.state is EngineState.FAILED:
                    log.error("engine.failed", engine=self._name, reason=problem)
                    return
                if not problem:
                    pause = BACK_OFF_FIRST_S
                    problem = await self._until_lost()
                    log.warning("engine.lost", engine=self._name, reason=problem)
                    detail = f"{self._name} was lost: {problem}"
                    self._set(EngineState.RESTARTING, detail, died=True)
                    self._tell_who_suspected()
            await anyio.sleep(pause)
            pause = min(2 * pause, BACK_OFF_MOST_S)

    async def _reach(self, stack: AsyncExitStack) -> str:
        """Return why the server cannot be used, or nothing once it is ready."""
        try:
            with anyio.fail_after(self._start_timeout_s):
                await self._prepare(stack)
        except TimeoutError:
            problem = (
                f"no generation within {self._start_timeout_s:g} s; raise engine.start_timeout_s"
            )
        except EngineFailed as error:
            self._set(EngineState.FAILED, f"{self._name}: {error}")
            return str(error)
        except EngineError as error:
            problem = str(error)
        else:
            self._suspected = anyio.Event()
            self._set(EngineState.READY, f"{self._name} is ready")
            log.info("engine.ready", engine=self._name)
            return ""
        self._set(self._status.state, f"{self._name} is not ready: {problem}")
        return problem

    async def _until_lost(self) -> str:
        """Be ready until the server does not answer or does not work; return which."""
        problems: list[str] = []
        async with anyio.create_task_group() as group:

            async def watch(loss: Callable[[], Awaitable[str]]) -> None:
                problems.append(await loss())
                group.cancel_scope.cancel()

            group.start_soon(watch, self._stay_ready)
            group.start_soon(watch, self.stops_working)
        return problems[0]

    async def _stay_ready(self) -> str:
        """Be ready until the server does not answer; return what it did instead."""
        misses = 0
        while True:
            with anyio.move_on_after(PROBE_INTERVAL_S):
                await self._suspected.wait()
            problem = await self._look()
            misses = misses + 1 if problem else 0
            if misses >= MISSES or (problem and self._suspected.is_set()):
                return problem
            self._suspected = anyio.Event()
            self._tell_who_suspected()

    async def _look(self) -> str:
        try:
            with anyio.fail_after(PROBE_S):
                await self._probe()
        except TimeoutError:
            return f"no answer within {PROBE_S:g} s"
        except EngineError as error:
            return str(error)
        return ""

    def _tell_who_suspected(self) -> None:
        self._looked.set()
        self._looked = anyio.Event()
