"""One run: its clock, its problems, and what became of them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import ceil

import anyio

from client.schema import (
    AnswerRung,
    BallotChanged,
    BudgetDecided,
    Event,
    GivenAnswer,
    RunRequest,
    RunSolve,
    RunSolveState,
    RunState,
    SolveEnd,
    SolveFinished,
    SolveRequest,
    SolveResult,
    SolveStarted,
)
from client.schema import Run as WireRun
from server.journal.runs import AnswerRow, RunRow
from server.runs.clock import Anchor, Clocks, RunClock
from server.runs.evidence import Evidence
from server.runs.listing import Place
from server.runs.pace import RunPace
from server.solve.past import PastSolve
from server.solve.service import SolveHandle
from voting.budget import Budget
from voting.paths import ProblemPath

#: Ends to which a problem came by itself, rather than by its budget or its caller.
WHOLE = frozenset({SolveEnd.AGREEMENT, SolveEnd.ALL_FINISHED})
#: A problem whose solve ended so, without an answer, may be tried again.
UNSETTLED = frozenset(
    {SolveEnd.CANCELLED, SolveEnd.INTERRUPTED, SolveEnd.FAILED, SolveEnd.ENGINE_LOST}
)


@dataclass(slots=True)
class Entry:
    """One problem of a run: the solve that is at it, or its result."""

    problem_id: str
    evidence: Evidence
    solve_id: str = ""
    pace: RunPace | None = None
    handle: SolveHandle | None = None
    result: SolveResult | None = None
    leader: str | None = None
    limit_s: float | None = None
    noted: bool = False
    """Whether the run has learned from it."""
    started: float | None = None
    """Event-loop time."""

    @property
    def live(self) -> bool:
        """Whether a solve is at it."""
        return self.handle is not None and self.result is None

    @property
    def settled(self) -> bool:
        """Whether it has a result that stands."""
        result = self.result
        if result is None:
            return False
        return result.answer is not None or result.end not in UNSETTLED

    @property
    def at_work(self) -> bool:
        """Whether its solve has begun, and does not wait to be gone on with."""
        waits = self.handle is not None and self.handle.waits
        return self.started is not None and not waits

    def answers(self, request: SolveRequest) -> bool:
        """Return whether its result stands for a request of the problem."""
        return self.settled and not (request.again and self.unanswered)

    @property
    def unanswered(self) -> bool:
        """Whether it has a result, and that no answer."""
        return self.result is not None and self.result.answer is None

    def observe(self, event: Event) -> None:
        """Take an event of the solve."""
        match event:
            case SolveStarted():
                self.started, self.limit_s = anyio.current_time(), event.time_limit_s
            case BudgetDecided():
                self.limit_s = event.limit_s
            case BallotChanged():
                self.leader = event.lines[0].answer if event.lines else None
            case SolveFinished():
                self.result, self.handle = event.result, None
            case _:
                pass

    def wire(self) -> RunSolve:
        """Return the problem as callers see it."""
        if self.result is not None:
            state, answer, seconds = (
                RunSolveState.FINISHED, self.result.answer, self.result.seconds,
            )  # fmt: skip
        elif self.started is not None and self.at_work:
            state, answer = RunSolveState.RUNNING, self.leader
            seconds = round(anyio.current_time() - self.started, 3)
        else:
            # One that is to be gone on with may have an answer that leads already.
            state, answer, seconds = RunSolveState.QUEUED, self.leader, None
        return RunSolve(
            id=self.solve_id,
            problem_id=self.problem_id,
            state=state,
            answer=answer,
            seconds=seconds,
            limit_s=self.limit_s,
        )


@dataclass(slots=True)
class Run:
    """A set of problems under one clock."""

    id: str
    request: RunRequest
    budget: str
    created: float
    clock: RunClock
    finished: float | None = None
    ended_s: float | None = None
    reason: str = ""
    entries: dict[str, Entry] = field(default_factory=dict)
    policy: Budget | None = None
    history: tuple[ProblemPath, ...] = ()
    """How its problems went, in the order of their ends."""
    answers: dict[str, AnswerRow] = field(default_factory=dict)
    """What its caller answered, by problem."""

    @property
    def place(self) -> Place:
        """Where it is in a list."""
        return self.created, self.id

    @property
    def is_open(self) -> bool:
        """Whether it takes problems."""
        return self.finished is None

    @property
    def elapsed_s(self) -> float:
        """Seconds of it that are gone; fixed once it is finished."""
        return self.clock.elapsed_s() if self.ended_s is None else self.ended_s

    @property
    def left_s(self) -> float:
        """Seconds until its end; 0 once that has passed."""
        return max(self.request.limit_s - self.elapsed_s, 0.0)

    def away_s(self, past: PastSolve) -> float:
        """Return for how long no server was at a solve, by the clock of the run.

        The machine's wall clock may have been set meanwhile.
        """
        if past.run_s is not None:
            last_s = past.run_s + past.elapsed_s(past.at)
        else:
            # It waited for its turn: both times are of the server that is dead.
            last_s = self.request.elapsed_s + past.created - self.created + past.at
        return min(max(self.clock.elapsed_s() - last_s, 0.0), self.clock.elapsed_s())

    def live(self) -> Iterator[Entry]:
        """Yield the problems that run or wait for their turn."""
        return (entry for entry in self.entries.values() if entry.live)

    @property
    def done(self) -> int:
        """How many problems have a result."""
        return sum(entry.result is not None for entry in self.entries.values())

    def rounds_left(self) -> int:
        """Return how many problems are still to come, one after another; at least 1.

        Those that run at the same time share their time, and count as one.
        """
        at_work = sum(entry.at_work for entry in self.live())
        # what its caller answered without a solve, as no server was there, does not come any more
        over = self.answers.keys() - {entry.problem_id for entry in self.entries.values()}
        left = self.request.problems - self.done - len(over)
        return max(ceil(left / max(at_work, 1)), 1)

    def note_path(self, entry: Entry) -> None:
        """Learn from a problem that has ended, once."""
        if entry.noted or entry.pace is None or entry.result is None or entry.started is None:
            return
        entry.noted = True
        self.history = (*self.history, entry.pace.path(whole=entry.result.end in WHOLE))

    def wire(self, *, solves: bool = True) -> WireRun:
        """Return the run as callers see it."""
        return WireRun(
            id=self.id,
            name=self.request.name,
            state=RunState.OPEN if self.is_open else RunState.FINISHED,
            problems=self.request.problems,
            done=self.done,
            running=sum(1 for _ in self.live()),
            limit_s=self.request.limit_s,
            elapsed_s=round(self.elapsed_s, 3),
            seconds_left=round(self.left_s, 3),
            created_at=_moment(self.created),
            finished_at=None if self.finished is None else _moment(self.finished),
            reason=self.reason,
            budget=self.budget,
            solves=[entry.wire() for entry in self.entries.values()] if solves else [],
            answers=[given_answer(row) for row in self.answers.values()] if solves else [],
        )

    def row(self) -> RunRow:
        """Return the run as the journal keeps it."""
        anchor = self.clock.anchor
        return RunRow(
            id=self.id,
            created=self.created,
            name=self.request.name,
            problems=self.request.problems,
            limit_s=self.request.limit_s,
            budget=self.budget,
            request=self.request.model_dump_json(exclude_unset=True),
            elapsed_s=anchor.elapsed_s,
            boot=anchor.boot,
            boot_s=anchor.boot_s,
            wall=anchor.wall_s,
            finished=self.finished,
            ended_s=self.ended_s,
            reason=self.reason or None,
        )


def run_of(row: RunRow, clocks: Clocks) -> Run:
    """Return the run of a row of the journal, without its problems.

    Raises:
        ValueError: the row is not as this program writes it.
    """
    anchor = Anchor(row.elapsed_s, row.boot, row.boot_s, row.wall)
    return Run(
        id=row.id,
        request=RunRequest.model_validate_json(row.request),
        budget=row.budget,
        created=row.created,
        clock=RunClock(anchor, clocks),
        finished=row.finished,
        ended_s=row.ended_s,
        reason=row.reason or "",
    )


def given_answer(row: AnswerRow) -> GivenAnswer:
    """Return an answer as callers see it.

    Raises:
        ValueError: the row is not as this program writes it.
    """
    return GivenAnswer(
        problem_id=row.problem_id,
        answer=row.answer,
        rung=AnswerRung(row.rung),
        solve=row.solve_id,
        seconds=row.seconds,
        notes=json.loads(row.notes),
        told_at=_moment(row.told),
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
