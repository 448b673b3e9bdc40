"""Load for the journal's benchmark: events as the solve loop makes them, and the loop itself."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio
from sse_starlette import ServerSentEvent

from benchmarks.paced_engine import paced_engine
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
from server.journal.journal import Journal
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
            confidence=[10 * self.source.random() for _ in range(count)],
        )  # fmt: skip


async def opened(journal: Journal) -> None:
    """Begin the solve of the load."""
    journal.append(SolveQueued(id=journal.next_id(), solve_id=SOLVE, at=0.0, position=0))
    await journal.flush()


class MeteredLog(EventLog):
    """An event log that counts the CPU seconds which the loop's thread spends for the journal."""

    journal_s = 0.0

    def emit(self, event_type: Callable[..., Event], **values: Any) -> None:  # noqa: ANN401
        """Append an event; segments are made for the journal alone."""
        begun = time.thread_time()
        super().emit(event_type, **values)
        if event_type is AttemptSegment:
            self.journal_s += time.thread_time() - begun


class MeteredSink:
    """Hands events to a journal and counts the CPU seconds of that."""

    def __init__(self, journal: Journal) -> None:
        self.next_id = journal.next_id
        self.journal_s = 0.0
        self._journal = journal

    def append(self, event: Event, recorded: float) -> None:
        """Take an event."""
        begun = time.thread_time()
        self._journal.append(event, recorded)
        # Those of segments are counted by the log.
        if not isinstance(event, AttemptSegment):
            self.journal_s += time.thread_time() - begun


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of a solve: of the whole process, and of the journal in it."""

    process_s: float
    journal_s: float


async def cost_of_solve(journal: Journal, seconds: float) -> Cost:
    """Solve for so many seconds with 16 attempts, and return what that cost.

    The journal's part is its thread's time, and what the loop's thread does for it.
    """
    settings = load_settings()
    vocabulary = Vocabulary.load(resolve(settings.engine.model))
    request = SolveRequest(
        problem=PROBLEM, strategy="majority_vote", attempts=ATTEMPTS, agree=ATTEMPTS,
        time_limit_s=seconds, max_tokens=1_000_000,
    )  # fmt: skip
    plan = make_plan(request, settings.solve, cell_timeout_s=1.0)
    dialect = open_dialect("auto", vocabulary)
    # Nothing is computed: the pool is never opened.
    pool = KernelPool(PoolSettings())
    sink = MeteredSink(journal)
    log = MeteredLog(f"{SOLVE}-paced", sink.next_id, sink, with_tokens=False)
    async with paced_engine(vocabulary) as engine:
        solver = Solver(SolverParts(engine, dialect, vocabulary, pool), plan, log)
        begun, writer_begun = time.process_time(), _writer_s()
        async with anyio.create_task_group() as group:
            group.start_soon(_follow, log)
            await solver.run()
        await journal.flush()
        writer_s = _writer_s() - writer_begun
        process_s = time.process_time() - begun
    return Cost(process_s, writer_s + sink.journal_s + log.journal_s)


def _writer_s() -> float:
    """Return the CPU seconds of the journal's thread until now."""
    (writer,) = [thread for thread in threading.enumerate() if thread.name == "journal"]
    return time.clock_gettime(time.pthread_getcpuclockid(writer.ident or 0))


async def _follow(log: EventLog) -> None:
    """Do with the events what the route does that streams them."""
    async for event in log.follow():
        ServerSentEvent(event.model_dump_json(), event=event.type, id=str(event.id)).encode()
