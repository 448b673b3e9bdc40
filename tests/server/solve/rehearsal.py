"""Rehearsals: the real solve loop and real kernels, with a scripted engine for the model."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, TypeVar

import anyio

from client.schema import (
    AnswerKind,
    AttemptEvent,
    AttemptSegment,
    AttemptText,
    Event,
    SolveRequest,
    SolveResult,
)
from sandbox.pool import KernelPool
from server.dialect.base import Dialect
from server.engine.errors import EngineError
from server.engine.scripted import ScriptedEngine, Step, StreamRequest
from server.equivalence.pool import EquivalencePool
from server.prompts import compose
from server.rewards.served import RewardModel
from server.sections.solve import SolveSettings
from server.solve.events import EventLog
from server.solve.plan import SolvePlan, make_plan
from server.solve.solver import Solver, SolverParts
from server.vocabulary import Vocabulary

#: A bound for waits that should take milliseconds.
SOON_S = 10.0
#: How late a solve may end after its time limit, on a machine that is busy with other things.
LATE_S = 0.5


PROBLEM = "What is 6 times 7?"


class Mark(Enum):
    """What a script can say beside text."""

    END = "the token that ends a message"


END = Mark.END
Part = str | Mark | anyio.Event | EngineError | list[int]
#: What the model writes in the n-th stream of an attempt: (attempt, n) to parts.
Play = Callable[[int, int], Iterable[Part]]
EventType = TypeVar("EventType", bound=Event)


def python(code: str) -> str:
    """Return a call of the tool as a fenced block."""
    return f"```python\n{code}\n```"


def boxed(answer: str) -> list[Part]:
    """Return a message that ends with an answer."""
    return [f"So the answer is \\boxed{{{answer}}}.", END]


def lines(*streams: Iterable[Part]) -> Play:
    """Return the play in which every attempt writes these streams, the last one ever after."""
    told = [list(stream) for stream in streams]
    return lambda _attempt, stream: told[min(stream, len(told) - 1)]


async def eventually(condition: Callable[[], bool], within_s: float = SOON_S) -> None:
    """Wait for what no event tells."""
    with anyio.fail_after(within_s):
        while not condition():  # noqa: ASYNC110 - the state of others
            await anyio.sleep(0.01)


def attempt_of(session: str) -> int:
    """Return the index of the attempt that a session belongs to."""
    return int(session.rsplit("-", 1)[1])


def make_engine(
    vocabulary: Vocabulary, dialect: Dialect, play: Play, *, context_tokens: int = 8192
) -> ScriptedEngine:
    """Return an engine that plays."""
    streams: Counter[str] = Counter()

    def script(request: StreamRequest) -> Iterator[Step]:
        number = streams[request.session]
        streams[request.session] += 1
        for part in play(attempt_of(request.session), number):
            if isinstance(part, str):
                yield vocabulary.encode(part)
            else:
                yield [vocabulary.control("<|im_end|>")] if isinstance(part, Mark) else part

    return ScriptedEngine(
        script, vocabulary.size, end_ids=dialect.end_ids, context_tokens=context_tokens
    )


@dataclass
class Rehearsal:
    """A solve with everything that can be watched; `run` once."""

    parts: SolverParts
    engine: ScriptedEngine
    plan: SolvePlan
    log: EventLog = field(default_factory=lambda: EventLog("solve-1", itertools.count(1).__next__))

    async def run(self) -> SolveResult:
        """Solve; it must end in time, with everything given back."""
        started = anyio.current_time()
        result = await Solver(self.parts, self.plan, self.log).run()
        assert anyio.current_time() - started <= self.plan.time_limit_s + LATE_S
        assert not self.engine.open_streams
        owners = self.parts.pool.status().owners
        assert not [owner for owner in owners if owner.startswith(self.log.solve_id)]
        assert self.result() == result
        return result

    def result(self) -> SolveResult:
        """Return the result that the events end with."""
        finished = self.log.finished
        assert finished is not None
        return finished.result

    def events(self, kind: type[EventType], attempt: int | None = None) -> list[EventType]:
        """Return the events of a kind, of one attempt or of all."""
        return [
            event
            for event in self.log.events
            if isinstance(event, kind)
            and (attempt is None or (isinstance(event, AttemptEvent) and event.attempt == attempt))
        ]

    def text(self, attempt: int = 0) -> str:
        """Return all text of an attempt that was told."""
        return "".join(event.text for event in self.events(AttemptText, attempt))

    def tokens(self, attempt: int = 0) -> list[int]:
        """Join the segments told; each must begin where the one before ended."""
        ids: list[int] = []
        for segment in self.events(AttemptSegment, attempt):
            assert segment.start == len(ids)
            ids += segment.token_ids
        return ids

    def sampled(self, attempt: int = 0) -> list[list[int]]:
        """Return the sampled ids that were told, joined where nothing was appended between."""
        runs: list[list[int]] = []
        last = ""
        for segment in self.events(AttemptSegment, attempt):
            if segment.kind.value == "sampled":
                if last != "sampled":
                    runs.append([])
                runs[-1] += segment.token_ids
            last = segment.kind.value
        return runs

    def prompts(self, attempt: int = 0) -> list[list[int]]:
        """Return what the engine was prompted with, stream by stream."""
        return [
            list(request.prompt)
            for request in self.engine.requests
            if attempt_of(request.session) == attempt
        ]


@dataclass(frozen=True)
class Stage:
    """What rehearsals share: a vocabulary, its dialect and a pool of real kernels."""

    vocabulary: Vocabulary
    dialect: Dialect
    pool: KernelPool

    def opening_tokens(self) -> int:
        """Return how many tokens the opening of the default problem has, with tools."""
        prompt = compose(PROBLEM, AnswerKind.TEXT, tools=True, chosen=self.dialect.name)
        return len(self.dialect.open(prompt).opening)

    def rehearse(
        self,
        play: Play,
        *,
        settings: SolveSettings | None = None,
        policies: Mapping[str, Any] | None = None,
        equivalence: EquivalencePool | None = None,
        rewards: RewardModel | None = None,
        dialect: Dialect | None = None,
        pool: KernelPool | None = None,
        context_tokens: int = 8192,
        cell_timeout_s: float = 6.0,
        **request: object,
    ) -> Rehearsal:
        """Prepare a solve of `SolveRequest(**request)`: one attempt and 20 s where not said."""
        wanted = {"problem": PROBLEM, "attempts": 1, "time_limit_s": 20.0, **request}
        plan = make_plan(
            SolveRequest.model_validate(wanted),
            settings or SolveSettings(),
            cell_timeout_s=cell_timeout_s,
        )
        if policies is not None:
            plan = replace(plan, policies=replace(plan.policies, **policies))
        chosen = dialect or self.dialect
        engine = make_engine(self.vocabulary, chosen, play, context_tokens=context_tokens)
        parts = SolverParts(
            engine,
            chosen,
            self.vocabulary,
            pool or self.pool,
            equivalence=equivalence,
            rewards=rewards,
        )
        return Rehearsal(parts, engine, plan)
