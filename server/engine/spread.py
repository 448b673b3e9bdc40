"""Several engines of one model as one: each session stays at one engine, while that one lives.

A session's token list is in its engine's prefix cache, so moving it costs a prefill of the whole
list; it moves only when its engine is not ready. An engine that dies or joins is noticed by its own
lifecycle, and is chosen or passed over from then on.
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio

from server.engine.base import Engine, EngineInfo, EngineState, EngineStatus, Sampling, Stream
from server.engine.errors import EngineFailed, EngineUnavailable


class SpreadEngine:
    """Engines of the same model; `open_engine` puts it together."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = tuple(engines)
        self._places: dict[str, int] = {}
        self._working: Counter[int] = Counter()

    @property
    def info(self) -> EngineInfo:
        """The model, the smallest context, all slots."""
        infos = [engine.info for engine in self._engines]
        context = min(info.context_tokens for info in infos)
        return replace(infos[0], context_tokens=context, slots=sum(info.slots for info in infos))

    def status(self) -> EngineStatus:
        """The best of the engines' states; the detail names those that are not ready."""
        statuses = [engine.status() for engine in self._engines]
        restarts = sum(status.restarts for status in statuses)
        ready = [status for status in statuses if status.state is EngineState.READY]
        away = [status for status in statuses if status.state is not EngineState.READY]
        detail = "; ".join(status.detail for status in away)
        if ready:
            text = f"{len(ready)} of {len(statuses)} engines are ready"
            return EngineStatus(
                EngineState.READY, f"{text} ({detail})" if detail else text, restarts
            )
        hope = [status for status in away if status.state is not EngineState.FAILED]
        return EngineStatus((hope or away)[0].state, detail, restarts)

    async def wait_ready(self) -> None:
        """Return when one engine is ready; raise `EngineFailed` when none ever will be."""
        failures: list[str] = []

        async def wait(engine: Engine) -> None:
            try:
                await engine.wait_ready()
            except EngineFailed as error:
                failures.append(str(error))
            else:
                group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            for engine in self._engines:
                group.start_soon(wait, engine)
        if len(failures) == len(self._engines):
            raise EngineFailed("; ".join(failures))

    @asynccontextmanager
    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, session: str
    ) -> AsyncIterator[Stream]:
        """Stream from the session's engine; see `server.engine.base.Engine.generate`."""
        place = self._place_of(session)
        self._working[place] += 1
        try:
            async with self._engines[place].generate(
                prompt_ids, sampling, session=session
            ) as stream:
                yield stream
        finally:
            self._working[place] -= 1

    async def score(self, ids: Sequence[int], start: int) -> list[float]:
        """Score at the engine that has least to do."""
        place = self._least_busy()
        self._working[place] += 1
        try:
            return await self._engines[place].score(ids, start)
        finally:
            self._working[place] -= 1

    def release(self, session: str) -> None:
        """Forget where the session was."""
        place = self._places.pop(session, None)
        if place is not None:
            self._engines[place].release(session)

    def _place_of(self, session: str) -> int:
        place = self._places.get(session)
        if place is None or not self._is_ready(place):
            place = self._least_busy()
            self._places[session] = place
        return place

    def _least_busy(self) -> int:
        """Return the ready engine with the fewest streams, then the fewest sessions."""
        ready = [place for place in range(len(self._engines)) if self._is_ready(place)]
        if not ready:
            status = self.status()
            hopeless = status.state in (EngineState.FAILED, EngineState.STOPPED)
            raise (EngineFailed if hopeless else EngineUnavailable)(status.detail)
        sessions = Counter(self._places.values())
        return min(ready, key=lambda place: (self._working[place], sessions[place]))

    def _is_ready(self, place: int) -> bool:
        return self._engines[place].status().state is EngineState.READY
