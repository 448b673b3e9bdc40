"""Solves one problem: attempts in one task group, a ballot, and an answer object in any event."""

import math
from dataclasses import dataclass, replace
from functools import partial

import anyio
import structlog
from anyio.abc import TaskGroup

from client.schema import (
    AttemptEnd,
    AttemptFinished,
    AttemptReport,
    BallotChanged,
    SolveEnd,
    SolveFinished,
    SolveResult,
    SolveStarted,
    TokenCounts,
)
from client.schema import BallotLine as WireBallotLine
from sandbox.pool import KernelPool
from server.dialect.base import Dialect
from server.engine.base import Engine
from server.solve.attempt import Attempt, AttemptContext, answer_text
from server.solve.events import EventLog
from server.solve.plan import SolvePlan
from server.vocabulary import Vocabulary
from voting.ballot import Ballot, Vote
from voting.early_stop import StopDecision, StopReason
from voting.launch import AllAtOnce
from voting.selecting import select
from voting.selectors import PluralityVote, Selection, SelectionReason
from voting.state import SolveState
from voting.types import AttemptOutcome

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SolverParts:
    """What all solves share."""

    engine: Engine
    dialect: Dialect
    vocabulary: Vocabulary
    pool: KernelPool
    sandbox: str = ""


class Solver:
    """Runs one solve; made for one call of `run`."""

    def __init__(self, parts: SolverParts, plan: SolvePlan, events: EventLog) -> None:
        self._parts = parts
        self._plan = plan
        self._events = events
        self._launch = AllAtOnce(plan.attempts)
        self._early_stop = plan.strategy.early_stop(plan.agree)
        self._running: dict[int, Attempt] = {}
        self._outcomes: dict[int, AttemptOutcome] = {}
        self._reports: dict[int, AttemptReport] = {}
        self._votes: list[Vote] = []
        self._started = anyio.current_time()
        self._decision: StopDecision | None = None

    async def run(self) -> SolveResult:
        """Solve within the plan's time limit; the last event of the log is the result.

        Raises nothing but cancellation, and then too the result is in the log.
        """
        plan = self._plan
        self._started = anyio.current_time()
        deadline = self._started + plan.time_limit_s
        self._tell_start()
        end = SolveEnd.CANCELLED
        try:
            with anyio.CancelScope(deadline=deadline) as scope:
                await self._run_attempts(deadline)
            end = self._end(timed_out=scope.cancelled_caught)
        except Exception:
            # A defect of the loop itself ends the solve with what the attempts have until now.
            log.exception("solve.failed", solve_id=self._events.solve_id)
            end = SolveEnd.FAILED
        finally:
            self._close_running(end)
            result = self._result(end)
            self._events.emit(SolveFinished, result=result)
        return result

    async def _run_attempts(self, deadline: float) -> None:
        context = AttemptContext(
            solve_id=self._events.solve_id,
            plan=self._plan,
            engine=self._parts.engine,
            dialect=self._parts.dialect,
            vocabulary=self._parts.vocabulary,
            pool=self._parts.pool,
            events=self._events,
            started=self._started,
            deadline=deadline,
        )
        async with anyio.create_task_group() as group:
            self._launch_more(group, context)

    def _launch_more(self, group: TaskGroup, context: AttemptContext) -> None:
        launched = len(self._running) + len(self._outcomes)
        add = self._launch.decide(self._state()).add
        for index in range(launched, launched + add):
            try:
                self._running[index] = Attempt(context, index)
            except Exception as error:
                log.exception("attempt.failed", solve_id=context.solve_id, attempt=index)
                self._note_unborn(index, error)
            else:
                group.start_soon(partial(self._run_one, group, context, index))

    def _note_unborn(self, index: int, error: Exception) -> None:
        """Account for an attempt that a defect kept from starting."""
        self._outcomes[index] = AttemptOutcome(attempt=index, answer=None, finished=False)
        self._reports[index] = AttemptReport(
            attempt=index,
            seed=self._plan.attempt_seed(index),
            end=AttemptEnd.FAILED,
            detail=f"{type(error).__name__}: {error}",
        )
        self._events.emit(AttemptFinished, attempt=index, report=self._reports[index])

    async def _run_one(self, group: TaskGroup, context: AttemptContext, index: int) -> None:
        report = await self._running[index].run()
        self._close(index, report)
        ballot = self._ballot()
        self._decision = self._decide_stop()
        self._events.emit(
            BallotChanged,
            lines=_wire_lines(ballot),
            running=len(self._running),
            stop=self._decision.stop,
            reason=self._decision.reason.value,
        )
        if self._decision.stop:
            group.cancel_scope.cancel()
        else:
            self._launch_more(group, context)

    def _decide_stop(self) -> StopDecision:
        try:
            return self._early_stop.decide(self._state())
        except Exception:
            log.exception("solve.early_stop_failed", solve_id=self._events.solve_id)
            return StopDecision(stop=False, answer=None, reason=StopReason.NEVER)

    def _close(self, index: int, report: AttemptReport) -> None:
        """Move an attempt from the running to the ended, let it vote, and tell."""
        attempt = self._running.pop(index)
        outcome = attempt.outcome(report.end)
        if outcome.answer is not None:
            try:
                weight = self._plan.strategy.weight.decide(outcome).weight
                self._votes.append(Vote(index, outcome.answer, weight))
                report = report.model_copy(update={"weight": weight})
            except Exception as error:
                log.exception("attempt.unweighable", solve_id=self._events.solve_id, attempt=index)
                outcome = replace(outcome, answer=None)
                detail = f"its vote cannot be weighed: {type(error).__name__}: {error}"
                report = report.model_copy(update={"end": AttemptEnd.FAILED, "detail": detail})
        self._outcomes[index] = outcome
        self._reports[index] = report
        attempt.narrator.finished(report)

    def _close_running(self, end: SolveEnd) -> None:
        """Account for the attempts that were stopped; what they had committed to counts."""
        ends = {
            SolveEnd.AGREEMENT: (AttemptEnd.EARLY_STOP, "the vote was decided without it"),
            SolveEnd.CANCELLED: (AttemptEnd.CANCELLED, "the solve was cancelled"),
            SolveEnd.FAILED: (AttemptEnd.FAILED, "a defect ended the solve"),
        }
        why = ends.get(end, (AttemptEnd.DEADLINE, "the problem's time ran out"))
        for index in sorted(self._running):
            self._close(index, self._running[index].report(*why))

    def _state(self) -> SolveState:
        running = len(self._running)
        return SolveState(
            ballot=self._ballot(),
            launched=running + len(self._outcomes),
            running=running,
            attempts=self._plan.attempts,
            most_weight=math.inf,
        )

    def _ballot(self) -> Ballot:
        return Ballot.of(self._votes)

    def _end(self, *, timed_out: bool) -> SolveEnd:
        if self._decision is not None and self._decision.stop:
            return SolveEnd.AGREEMENT
        ends = {report.end for report in self._reports.values()}
        if timed_out or AttemptEnd.DEADLINE in ends:
            return SolveEnd.DEADLINE
        if ends and ends <= {AttemptEnd.ENGINE_LOST}:
            return SolveEnd.ENGINE_LOST
        return SolveEnd.FAILED if ends and ends <= {AttemptEnd.FAILED} else SolveEnd.ALL_FINISHED

    def _select(self, ballot: Ballot) -> Selection:
        outcomes = [self._outcomes[index] for index in sorted(self._outcomes)]
        agreed = self._decision.answer if self._decision is not None else None
        if agreed is not None:
            # Weights may order the lines otherwise, but the rest was stopped for this answer.
            line = next(line for line in ballot.lines if line.answer.key == agreed.key)
            votes, total = float(line.count), float(ballot.count)
            return Selection(line.answer, SelectionReason.AGREED, votes, total)
        try:
            return select(self._plan.strategy.selector, ballot, outcomes)
        except Exception:
            # Some answer is better than none.
            log.exception("solve.selector_failed", solve_id=self._events.solve_id)
            return select(PluralityVote(), ballot, outcomes)

    def _result(self, end: SolveEnd) -> SolveResult:
        ballot = self._ballot()
        selection = self._select(ballot)
        reports = [self._reports[index] for index in sorted(self._reports)]
        chosen = f"{selection.reason.value}: {selection.weight:.2f} of {selection.total:.2f}"
        return SolveResult(
            solve_id=self._events.solve_id,
            problem_id=self._plan.problem_id,
            answer=answer_text(selection.answer),
            end=end,
            detail=f"{_ENDS[end]}; {chosen}",
            strategy=self._plan.strategy.name,
            ballot=_wire_lines(ballot),
            attempts=reports,
            tokens=_sum(reports),
            seconds=round(anyio.current_time() - self._started, 3),
            model=self._parts.engine.info.model,
            sandbox=self._parts.sandbox,
        )

    def _tell_start(self) -> None:
        plan = self._plan
        self._events.emit(
            SolveStarted,
            problem=plan.problem,
            problem_id=plan.problem_id,
            answer_kind=plan.answer_kind,
            strategy=plan.strategy.name,
            attempts=plan.attempts,
            agree=plan.agree,
            max_turns=plan.max_turns,
            max_tokens=plan.max_tokens,
            time_limit_s=plan.time_limit_s,
            seed=plan.seed,
            model=self._parts.engine.info.model,
            dialect=self._parts.dialect.name,
        )


_ENDS = {
    SolveEnd.AGREEMENT: "enough attempts agreed",
    SolveEnd.ALL_FINISHED: "every attempt ended",
    SolveEnd.DEADLINE: "the time limit came",
    SolveEnd.CANCELLED: "the solve was cancelled",
    SolveEnd.ENGINE_LOST: "the engine was lost",
    SolveEnd.FAILED: "defects ended every attempt",
}


def _wire_lines(ballot: Ballot) -> list[WireBallotLine]:
    return [
        WireBallotLine(
            answer=answer_text(line.answer) or "",
            votes=line.count,
            weight=round(line.weight, 6),
            attempts=list(line.attempts),
        )
        for line in ballot.lines
    ]


def _sum(reports: list[AttemptReport]) -> TokenCounts:
    return TokenCounts(
        prompt=sum(report.tokens.prompt for report in reports),
        sampled=sum(report.tokens.sampled for report in reports),
        appended=sum(report.tokens.appended for report in reports),
    )
