"""An event loop whose time passes only when nothing else can happen, and attempts on it.

So a run of hours takes seconds, and what happens when is exact: the server's own solve loop can be
held against the replay's.
"""

import asyncio
import selectors
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

from server.engine.base import (
    Chunk,
    EngineInfo,
    EngineState,
    EngineStatus,
    FinishReason,
    Sampling,
    Stream,
)
from server.vocabulary import Vocabulary
from voting.replay.records import RecordedAttempt

#: A thread may be at work; its end is looked for so long, in real seconds, before time passes.
THREADS_S = 0.002
#: Of each stream, however many there are.
TOKENS_A_S = 1_000.0


class VirtualSelector(selectors.DefaultSelector):
    """Waits for nothing but what has happened; time jumps to the next timer instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1_000.0
        self.frozen = True
        """Whether time stands still: while threads are waited for."""

    def select(self, timeout: float | None = None) -> Any:  # noqa: ANN401 - the standard library's
        if self.frozen or timeout is None:
            return super().select(THREADS_S if timeout is None else min(timeout, THREADS_S))
        ready = super().select(0)
        if not ready:
            self.now_s += max(timeout, 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; `hold` and `go` stop its time and let it pass."""

    def __init__(self) -> None:
        self._virtual = VirtualSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now_s

    def go(self) -> None:
        self._virtual.frozen = False


@dataclass
class VirtualClocks:
    """The clocks of a machine, by the loop's time."""

    loop: asyncio.AbstractEventLoop

    def boot(self) -> str:
        return "virtual"

    def boot_s(self) -> float:
        return self.loop.time()

    def wall_s(self) -> float:
        return 1_800_000_000 + self.loop.time()


@dataclass
class RecordedEngine:
    """Plays recorded attempts: each writes its answer when its tokens would have been sampled.

    Which problem a stream is of is told by the text of its prompt; its attempts come in the order
    of their launch. A stream that is asked for more than that is silent.
    """

    vocabulary: Vocabulary
    end_id: int
    problems: Mapping[str, Sequence[RecordedAttempt]]
    streams: Counter[str] = field(default_factory=Counter)

    @property
    def info(self) -> EngineInfo:
        return EngineInfo("recorded", 8192, 256)

    def status(self) -> EngineStatus:
        return EngineStatus(EngineState.READY, "recorded")

    async def wait_ready(self) -> None:
        pass

    def release(self, session: str) -> None:
        pass

    async def score(self, ids: Sequence[int], start: int) -> list[float]:
        raise AssertionError(f"nothing is scored: {len(ids)} from {start}")

    @asynccontextmanager
    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, session: str
    ) -> AsyncIterator[Stream]:
        del sampling
        text = self.vocabulary.decode(list(prompt_ids))
        name = next(name for name in self.problems if name in text)
        self.streams[session] += 1
        yield self._play(self.problems[name], session)

    async def _play(
        self, attempts: Sequence[RecordedAttempt], session: str
    ) -> AsyncIterator[Chunk]:
        index = int(session.rsplit("-", 1)[1])
        if self.streams[session] > 1 or index >= len(attempts):
            await anyio.sleep_forever()
        record = attempts[index]
        await anyio.sleep(record.tokens / TOKENS_A_S)
        written = "I give up." if record.answer is None else rf"\boxed{{{record.answer.written}}}"
        ids = tuple(self.vocabulary.encode(written))
        yield Chunk((*ids, self.end_id), finish_reason=FinishReason.STOP)
