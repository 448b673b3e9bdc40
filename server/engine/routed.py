"""Several SGLang servers as one, by `sglang-router` where that is installed and running.

Without it, and while it is being restarted, sessions are spread as `server.engine.spread` does. The
servers are watched here in either case: one that dies is taken out of the router, one that joins is
put in.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import structlog

from server.engine.base import EngineState, EngineStatus, Sampling, Stream
from server.engine.errors import EngineError, EngineFailed
from server.engine.router import Router, RouterOptions, RouterServer, ready
from server.engine.sglang import SglangEngine, running
from server.engine.spread import SpreadEngine
from server.groups import collapsed
from server.vocabulary import Vocabulary

log = structlog.get_logger(__name__)

#: Between two looks at whether the router has the right servers, where no change is seen.
LOOK_INTERVAL_S = 5.0


class RoutedEngine(SpreadEngine):
    """Servers with a router in front of them; opened by `open_routed`."""

    def __init__(self, parts: Sequence[SglangEngine], front: SglangEngine) -> None:
        super().__init__(parts)
        self._parts = parts
        self._front = front

    @property
    def routed(self) -> bool:
        """Whether requests go by the router now."""
        state = self._front.status().state
        return state is EngineState.READY and bool(ready(self._parts))

    def status(self) -> EngineStatus:
        """The best of the servers' states; the detail says why the router is not used."""
        status = super().status()
        if status.state is not EngineState.READY or self.routed:
            return status
        detail = f"{status.detail}; spread without a router ({self._front.status().detail})"
        return EngineStatus(status.state, detail, status.restarts)

    @asynccontextmanager
    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, session: str
    ) -> AsyncIterator[Stream]:
        """Stream by the router; see `server.engine.base.Engine.generate`."""
        way = self._front.generate if self.routed else super().generate
        async with way(prompt_ids, sampling, session=session) as stream:
            yield stream


@asynccontextmanager
async def open_routed(
    options: RouterOptions, parts: Sequence[SglangEngine], vocabulary: Vocabulary
) -> AsyncIterator[RoutedEngine]:
    """Spread requests over open engines for the length of the block; the router starts behind."""
    router = Router(options, parts, vocabulary)
    engine = RoutedEngine(parts, router.engine)
    try:
        with collapsed():
            async with anyio.create_task_group() as group:
                group.start_soon(_keep, engine, router)
                try:
                    yield engine
                finally:
                    group.cancel_scope.cancel()
    finally:
        router.log.close()


async def _keep(engine: RoutedEngine, router: Router) -> None:
    """Run the router from the first server that is ready on."""
    try:
        await engine.wait_ready()
    except EngineFailed:
        return
    async with running(router.engine), anyio.create_task_group() as group:
        group.start_soon(_tell_absence, router.engine)
        while True:
            await _a_change(router.parts)
            await _reconcile(router)


async def _reconcile(router: Router) -> None:
    if router.engine.status().state is not EngineState.READY:
        return
    try:
        server = router.engine.server
        assert isinstance(server, RouterServer)  # noqa: S101 - for the type checker
        await router.reconcile(server)
    except EngineError as error:
        # A router that is gone is given the servers again as it starts.
        log.debug("router.not_told", reason=str(error))


async def _a_change(parts: Sequence[SglangEngine]) -> None:
    """Return when a server's state changes, or after a while."""
    with anyio.move_on_after(LOOK_INTERVAL_S):
        async with anyio.create_task_group() as group:

            async def wait(part: SglangEngine) -> None:
                await part.life.changed()
                group.cancel_scope.cancel()

            for part in parts:
                group.start_soon(wait, part)


async def _tell_absence(front: SglangEngine) -> None:
    try:
        await front.wait_ready()
    except EngineFailed as error:
        log.info("router.absent", reason=str(error))
