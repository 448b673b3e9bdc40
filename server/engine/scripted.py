"""An engine that plays a script: for tests and for rehearsing faults without a model.

A script is a function of the prompt, called once a stream, that yields steps: ids to emit, a pause
until an event, or an error of `server.engine.errors` to raise. Sampling is not simulated beyond
`max_tokens`, and a log-probability of a scripted token is zero: the script is certain of it, unless
`likely` says otherwise.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel

from server.engine.base import (
    Chunk,
    EngineInfo,
    EngineState,
    EngineStatus,
    FinishReason,
    Sampling,
    Stream,
)
from server.engine.errors import EngineError, EngineFailed, EngineRefused, EngineUnavailable

Step = Sequence[int] | anyio.Event | EngineError


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What a script sees: the prompt ids, the sampling, and the session."""

    prompt: tuple[int, ...]
    sampling: Sampling
    session: str


Script = Callable[[StreamRequest], Iterable[Step]]


@dataclass(slots=True)
class ScriptedEngine:
    """Plays `script`; `open_streams` and `requests` let a test look at what was asked of it.

    `end_ids` end a stream as an end token does. `likely` gives the log-probability of each token of
    a session. Give `up` an unset event to have it not ready.
    """

    script: Script
    vocabulary_size: int
    end_ids: frozenset[int] = frozenset()
    context_tokens: int = 8192
    slots: int = 256
    requests: list[StreamRequest] = field(default_factory=list)
    open_streams: set[str] = field(default_factory=set)
    emitted: int = 0
    failed: str = ""
    up: anyio.Event | None = None
    likely: Callable[[str], float] = lambda _session: 0.0

    @property
    def info(self) -> EngineInfo:
        """A model named `scripted`."""
        return EngineInfo("scripted", self.context_tokens, self.slots)

    def status(self) -> EngineStatus:
        """Ready, unless `failed` or `up` say otherwise."""
        if self.failed:
            return EngineStatus(EngineState.FAILED, self.failed)
        if self.up is not None and not self.up.is_set():
            return EngineStatus(EngineState.RESTARTING, "the script says to wait")
        return EngineStatus(EngineState.READY, "scripted")

    async def wait_ready(self) -> None:
        """Wait for `up`."""
        if self.failed:
            raise EngineFailed(self.failed)
        if self.up is not None:
            await self.up.wait()

    def release(self, session: str) -> None:
        """Nothing is kept by session."""

    @asynccontextmanager
    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, session: str
    ) -> AsyncIterator[Stream]:
        """Play the script for this prompt."""
        self._check(prompt_ids)
        if sampling.max_tokens < 1:
            raise EngineRefused(f"max_tokens {sampling.max_tokens}: must be at least 1")
        self._check_up()
        request = StreamRequest(tuple(prompt_ids), sampling, session)
        self.requests.append(request)
        self.open_streams.add(session)
        try:
            await anyio.lowlevel.checkpoint()
            yield self._play(request)
        finally:
            self.open_streams.discard(session)

    async def score(self, ids: Sequence[int], start: int) -> list[float]:
        """Return zeros: the script is certain."""
        self._check(ids)
        if not 1 <= start <= len(ids):
            raise EngineRefused(f"start {start}: must be from 1 to the number of ids ({len(ids)})")
        self._check_up()
        await anyio.lowlevel.checkpoint()
        return [0.0] * (len(ids) - start)

    def _check(self, ids: Sequence[int]) -> None:
        if not 0 < len(ids) < self.context_tokens:
            raise EngineRefused(
                f"a prompt of {len(ids)} tokens: must be from 1 to under the context of "
                f"{self.context_tokens}"
            )
        wrong = [i for i in ids if not 0 <= i < self.vocabulary_size]
        if wrong:
            raise EngineRefused(
                f"token id {wrong[0]}: must be from 0 to {self.vocabulary_size - 1}"
            )

    def _check_up(self) -> None:
        status = self.status()
        if status.state is EngineState.FAILED:
            raise EngineFailed(status.detail)
        if status.state is not EngineState.READY:
            raise EngineUnavailable(status.detail)

    async def _play(self, request: StreamRequest) -> AsyncIterator[Chunk]:
        room = min(request.sampling.max_tokens, self.context_tokens - len(request.prompt))
        for token_id in self._ids(step for step in self.script(request)):
            if isinstance(token_id, anyio.Event):
                await token_id.wait()
                continue
            await anyio.lowlevel.checkpoint()
            room -= 1
            self.emitted += 1
            finish = self._finish(token_id, room)
            yield self._chunk(token_id, request, finish)
            if finish:
                return
        yield Chunk((), finish_reason=FinishReason.STOP)

    def _ids(self, steps: Iterable[Step]) -> Iterator[int | anyio.Event]:
        for step in steps:
            if isinstance(step, EngineError):
                raise step
            if isinstance(step, anyio.Event):
                yield step
            else:
                yield from step

    def _finish(self, token_id: int, room: int) -> FinishReason | None:
        if token_id in self.end_ids:
            return FinishReason.STOP
        return FinishReason.LENGTH if room <= 0 else None

    def _chunk(self, token_id: int, request: StreamRequest, finish: FinishReason | None) -> Chunk:
        if not request.sampling.top_logprobs:
            return Chunk((token_id,), finish_reason=finish)
        logprob = self.likely(request.session)
        return Chunk((token_id,), (logprob,), (((token_id, logprob),),), finish)
