"""How long one problem of a run may take: the budget asked, with the run's clock and history."""

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from server.solve.frame import PaceDecision
from voting.ballot import Ballot
from voting.budget import Budget, BudgetClock, BudgetDecision, BudgetReason, BudgetState
from voting.paths import ProblemPath, VoteMark

log = structlog.get_logger(__name__)

#: The reason told where the caller named the time itself.
ASKED = "asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """What a problem may know of its run: seconds gone, seconds in all, and the others.

    `problems_left` counts rounds: problems that run at the same time share one.
    """

    elapsed_s: Callable[[], float]
    limit_s: float
    problems_left: Callable[[], int]
    history: Callable[[], tuple[ProblemPath, ...]]


@dataclass(slots=True)
class RunPace:
    """Paces one problem. `asked_s` is the time that the caller named; None leaves it to the budget.

    `start_s` are the seconds of the run that were gone when the problem began, set by the first
    `decide`, or by whoever goes on with a problem that was begun.
    """

    view: RunView
    budget: Budget
    asked_s: float | None = None
    start_s: float | None = None
    marks: list[VoteMark] = field(default_factory=list)
    _clock: BudgetClock | None = None
    _history: tuple[ProblemPath, ...] = ()

    def decide(self, ballot: Ballot) -> PaceDecision:
        """Return how long the problem may go on: never beyond what is left of the run."""
        now_s = self.view.elapsed_s()
        if self._clock is None:
            self._begin(now_s)
        clock, start_s = self._clock, self.start_s
        if clock is None or start_s is None:
            raise AssertionError("a pace that has begun has a clock")
        elapsed_s = max(now_s - start_s, 0.0)
        self._mark(elapsed_s, ballot)
        limit_s, reason = self._limit(clock, elapsed_s)
        left_s = max(self.view.limit_s - now_s, 0.0)
        return PaceDecision(
            left_s=min(max(limit_s - elapsed_s, 0.0), left_s),
            share_left_s=clock.left_s / clock.problems_left - elapsed_s,
            told={
                "limit_s": round(limit_s, 3),
                "reason": reason,
                "elapsed_s": round(elapsed_s, 3),
                "run_s": round(start_s, 3),
                "left_s": round(left_s, 3),
                "problems_left": clock.problems_left,
            },
        )

    def note(self, ballot: Ballot) -> None:
        """Take in the ballot with which the problem's own policies ended it."""
        if self.start_s is not None:
            self._mark(max(self.view.elapsed_s() - self.start_s, 0.0), ballot)

    def path(self, *, whole: bool) -> ProblemPath:
        """Return how the problem went until now, for the problems to come."""
        seconds = max(self.view.elapsed_s() - (self.start_s or 0.0), 0.0)
        seconds = max(seconds, self.marks[-1].seconds if self.marks else 0.0)
        return ProblemPath(tuple(self.marks), seconds, whole)

    def _begin(self, now_s: float) -> None:
        if self.start_s is None:
            self.start_s = now_s
        self._history = self.view.history()
        self._clock = BudgetClock(
            now_s=self.start_s,
            deadline_s=self.view.limit_s,
            problems_left=self.view.problems_left(),
        )

    def _mark(self, elapsed_s: float, ballot: Ballot) -> None:
        last = self.marks[-1] if self.marks else None
        if ballot.count > (last.votes if last else 0):
            # over a boot of the machine its wall clock may have gone back
            seconds = max(elapsed_s, last.seconds if last else 0.0)
            self.marks.append(VoteMark.of(seconds, ballot))

    def _limit(self, clock: BudgetClock, elapsed_s: float) -> tuple[float, str]:
        if self.asked_s is not None:
            return min(self.asked_s, clock.left_s), ASKED
        state = BudgetState(
            clock=clock, elapsed_s=elapsed_s, marks=tuple(self.marks), history=self._history
        )
        try:
            decision = self.budget.decide(state)
        except Exception:
            # A defect of a budget costs its gain, never the run.
            log.exception("run.budget_failed")
            even_s = clock.left_s / clock.problems_left
            decision = BudgetDecision(even_s, BudgetReason.LEFT_AFTER_RESERVE)
        return min(decision.limit_s, clock.left_s), decision.reason.value
