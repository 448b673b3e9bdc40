"""Load for the journal's benchmark: events as the solve loop makes them, and the loop itself."""

import itertools
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

from client.schema import (
    AttemptEnd,
    AttemptFinished,
    AttemptReport,
    AttemptSegment,
    AttemptText,
    Channel,
    Event,
    SegmentKind,
    SolveEnd,
    SolveFinished,
    SolveQueued,
    SolveRequest,
    SolveResult,
    TokenCounts,
)
from sandbox.pool import KernelPool
from sandbox.settings import PoolSettings
from server.dialect.catalogue import open_dialect
from server.engine.base import Chunk, EngineInfo, EngineState, EngineStatus, Sampling, Stream
from server.journal import Journal
from server.settings import load_settings
from server.solve.events import EventLog
from server.solve.narrator import TEXT_EVERY_S, TOKENS_EVERY_S
from server.solve.plan import make_plan
from server.solve.solver import Solver, SolverParts
from server.vocabulary import Vocabulary
from server.weights import resolve

ATTEMPTS = 16
SOLVE = "solve-load"
#: Characters of a token in mathematical English.
TOKEN_CHARS = 4
#: Tokens a second of one stream: what vLLM gave a stream of this workload on one H100.
STREAM_RATE = 100
PROBLEM = "How many positive integers less than 10000 have digits that add up to 17?"
PROSE = (
    "We need the number of solutions of a + b + c + d = 17 with digits from 0 to 9, so stars and "
    "bars give $\\binom{20}{3}$, less four times those with a digit of at least 10. "
)


@dataclass(slots=True)
class Load:
    """Events of 16 attempts that sample `tokens_a_second` together."""

    tokens_a_second: int = 40_000
    positions: list[int] = field(default_factory=lambda: [0] * ATTEMPTS)
    source: random.Random = field(default_factory=lambda: random.Random(0))

    def events(self, next_id: Callable[[], int], seconds: float) -> Iterator[Event]:
        """Yield the events of so many seconds: each attempt's texts, and its tokens."""
        count = int(self.tokens_a_second * seconds / ATTEMPTS)
        for attempt in range(ATTEMPTS):
            texts = max(round(seconds / TEXT_EVERY_S), 1)
            for _ in range(texts):
                yield self._text(next_id, attempt, TOKEN_CHARS * count // texts)
            segments = max(round(seconds / TOKENS_EVERY_S), 1)
            for _ in range(segments):
                yield self._segment(next_id, attempt, count // segments)

    def closing(self, next_id: Callable[[], int]) -> Iterator[Event]:
        """Yield the ends of the attempts and of the solve."""
        for attempt, position in enumerate(self.positions):
            report = AttemptReport(
                attempt=attempt, seed=0, end=AttemptEnd.NO_ANSWER,
                tokens=TokenCounts(sampled=position),
            )  # fmt: skip
            yield AttemptFinished(
                id=next_id(), solve_id=SOLVE, at=1.0, attempt=attempt, report=report
            )
        result = SolveResult(solve_id=SOLVE, end=SolveEnd.ALL_FINISHED, detail="", strategy="tir")
        yield SolveFinished(id=next_id(), solve_id=SOLVE, at=1.0, result=result)

    def _text(self, next_id: Callable[[], int], attempt: int, length: int) -> AttemptText:
        return AttemptText(
            id=next_id(), solve_id=SOLVE, at=1.0, attempt=attempt, turn=1,
            channel=Channel.THINKING, text=(PROSE * (length // len(PROSE) + 1))[:length],
            sampled=self.positions[attempt],
        )  # fmt: skip

    def _segment(self, next_id: Callable[[], int], attempt: int, count: int) -> AttemptSegment:
        start = self.positions[attempt]
        self.positions[attempt] += count
        return AttemptSegment(
            id=next_id(), solve_id=SOLVE, at=1.0, attempt=attempt, turn=1,
            kind=SegmentKind.SAMPLED, start=start,
            token_ids=[self.source.randrange(152_000) for _ in range(count)],
            logprobs=[-self.source.random() for _ in range(count)],
        )  # fmt: skip


async def opened(journal: Journal) -> None:
    """Begin the solve of the load."""
    journal.append(SolveQueued(id=journal.next_id(), solve_id=SOLVE, at=0.0, position=0))
    await journal.flush()


@dataclass(slots=True)
class PacedEngine:
    """Streams prose at `STREAM_RATE`, a token at a time, with its log-probability."""

    tokens: Sequence[int]
    context_tokens: int = 131_072

    @property
    def info(self) -> EngineInfo:
        """A model named `paced`."""
        return EngineInfo("paced", self.context_tokens, ATTEMPTS)

    def status(self) -> EngineStatus:
        """Always ready."""
        return EngineStatus(EngineState.READY, "paced")

    async def wait_ready(self) -> None:
        """It is."""

    def release(self, session: str) -> None:
        """Nothing is kept."""

    async def score(self, ids: Sequence[int], start: int) -> list[float]:
        """Return zeros."""
        return [0.0] * (len(ids) - start)

    @asynccontextmanager
    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, session: str
    ) -> AsyncIterator[Stream]:
        """Stream until the caller leaves."""
        del prompt_ids, sampling, session
        yield self._stream()

    async def _stream(self) -> AsyncIterator[Chunk]:
        begun = anyio.current_time()
        for number, token in enumerate(itertools.cycle(self.tokens), start=1):
            await anyio.sleep(max(begun + number / STREAM_RATE - anyio.current_time(), 0.0))
            yield Chunk((token,), (-0.25,))


async def cpu_seconds_of_solve(journal: Journal | None, seconds: float) -> float:
    """Return the CPU seconds that this process spends on a solve of so many seconds."""
    settings = load_settings()
    vocabulary = Vocabulary.load(resolve(settings.engine.model))
    # Letters at random never count as a loop, as prose said again and again would.
    source = random.Random(0)
    words = "".join(source.choice("abcdefgh ijklmnop qrstuvwxyz") for _ in range(20_000))
    engine = PacedEngine(vocabulary.encode(words))
    request = SolveRequest(
        problem=PROBLEM, strategy="majority_vote", attempts=ATTEMPTS, agree=ATTEMPTS,
        time_limit_s=seconds, max_tokens=1_000_000,
    )  # fmt: skip
    plan = make_plan(request, settings.solve, cell_timeout_s=1.0)
    dialect = open_dialect("auto", vocabulary)
    # Nothing is computed: the pool is never opened.
    parts = SolverParts(engine, dialect, vocabulary, KernelPool(PoolSettings()))
    next_id = journal.next_id if journal else itertools.count(1).__next__
    log = EventLog(f"{SOLVE}-paced", next_id, journal, with_tokens=False)
    begun = time.process_time()
    await Solver(parts, plan, log).run()
    if journal:
        await journal.flush()
    return time.process_time() - begun
