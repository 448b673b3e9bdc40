"""How long a problem of a run may take: problems under one clock, one after another.

A budget is asked when a problem starts, and again after every vote: what it then says takes the
place of what it said before, so that it can end a problem, or let it go on. It is pure: the state
holds all it may know, and the same state gives the same decision.
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from voting.errors import ClockError, PolicyError
from voting.paths import ProblemPath, VoteMark

#: The published greedy policy's: seconds that are kept for each problem to come, which a problem
#: also gets at least, and the most that one gets. Public notebooks use 240-300 and 840-960.
GREEDY_BASE_S = 300.0
GREEDY_CAP_S = 900.0


class BudgetReason(StrEnum):
    """Why a problem may take as long as it may."""

    #: The policy's fixed time.
    FIXED = "fixed"
    #: Less than the policy's time is left; all of it is given.
    ALL_THAT_IS_LEFT = "all_that_is_left"
    #: The deadline has passed.
    NOTHING_LEFT = "nothing_left"
    #: What is left after the reserve for the problems to come.
    LEFT_AFTER_RESERVE = "left_after_reserve"
    #: The least that the policy gives, whatever is left.
    BASE = "base"
    #: The most that the policy gives.
    CAP = "cap"
    #: No vote yet: so long may the first one take.
    FIRST_VOTE = "first_vote"
    #: The answer is open, and more time is likely to settle it.
    OPEN = "open"
    #: More time would be better spent on the problems to come.
    SETTLED = "settled"
    #: What the problems to come need at least is kept for them.
    KEPT_FOR_OTHERS = "kept_for_others"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetClock:
    """The time of a run.

    ``now_s`` and ``deadline_s`` are seconds on one clock, whatever its zero; no deadline is None.
    ``problems_left`` counts the problems still to be answered, the one at hand included.

    Raises:
        ClockError: a time is infinite or not a number.
        PolicyError: `problems_left` is below 1.
    """

    now_s: float
    deadline_s: float | None = None
    problems_left: int = 1

    def __post_init__(self) -> None:
        for name in ("now_s", "deadline_s"):
            time = getattr(self, name)
            if time is not None and not math.isfinite(time):
                raise ClockError(
                    f"{name} {time}: must be a finite number of seconds; "
                    "leave deadline_s out where there is no deadline"
                )
        if self.problems_left < 1:
            raise PolicyError(
                f"{self.problems_left} problems left: must be at least 1; count this problem too"
            )

    @property
    def left_s(self) -> float:
        """Seconds until the deadline, 0 once it has passed, infinite where there is none."""
        return math.inf if self.deadline_s is None else max(0.0, self.deadline_s - self.now_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetState:
    """A run at the start of a problem, or while it is at it.

    ``clock`` is that of the problem's start; ``elapsed_s`` is how long it has run, ``marks`` its
    votes so far. ``history`` has the run's earlier problems, in order. A clock that was set while
    the problem ran does not show here, as its times are measured from its start.

    Raises:
        ClockError: `elapsed_s` is negative, infinite or not a number.
    """

    clock: BudgetClock
    elapsed_s: float = 0.0
    marks: tuple[VoteMark, ...] = ()
    history: tuple[ProblemPath, ...] = field(default=())

    def __post_init__(self) -> None:
        if not 0 <= self.elapsed_s < math.inf:
            raise ClockError(
                f"{self.elapsed_s} seconds elapsed: must be finite and at least 0; "
                "measure on a monotonic clock"
            )


@dataclass(frozen=True, slots=True)
class BudgetDecision:
    """The seconds that a problem may take, from its start: finite, at least 0.

    A problem that has run for as long is ended, with the answer that it has.
    """

    limit_s: float
    reason: BudgetReason


class Budget(Protocol):
    """Decides how long a problem may take."""

    def decide(self, state: BudgetState) -> BudgetDecision:
        """Return the limit in force from now on. Raises nothing."""
        ...


@dataclass(frozen=True, slots=True)
class FixedBudget:
    """The same time for every problem, as long as it is left.

    Raises:
        PolicyError: `seconds` is not above 0 and finite.
    """

    seconds: float

    def __post_init__(self) -> None:
        if not 0 < self.seconds < math.inf:
            raise PolicyError(
                f"budget of {self.seconds} seconds: must be finite and above 0; "
                "give the seconds that one problem may take"
            )

    def decide(self, state: BudgetState) -> BudgetDecision:
        """Return the fixed time, or what is left where that is less."""
        left_s = state.clock.left_s
        if left_s <= 0:
            return BudgetDecision(0.0, BudgetReason.NOTHING_LEFT)
        if left_s < self.seconds:
            return BudgetDecision(left_s, BudgetReason.ALL_THAT_IS_LEFT)
        return BudgetDecision(float(self.seconds), BudgetReason.FIXED)


@dataclass(frozen=True, slots=True)
class GreedyBudget:
    """The published policy: what is left minus `base_s` for each problem to come.

    ``min(max(left - base * others, base), cap)``: never less than `base_s`, not even when less is
    left, and never more than `cap_s`. What easy problems save goes to whoever comes first. With
    `hard`, never more than is left, which the published policy is not.

    Raises:
        PolicyError: not 0 < base <= cap, or not finite.
    """

    base_s: float = GREEDY_BASE_S
    cap_s: float = GREEDY_CAP_S
    hard: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.base_s <= self.cap_s < math.inf:
            raise PolicyError(
                f"greedy budget of {self.base_s} to {self.cap_s} seconds: must be above 0, finite "
                f"and rising; leave it out for {GREEDY_BASE_S:g} to {GREEDY_CAP_S:g}"
            )

    def decide(self, state: BudgetState) -> BudgetDecision:
        """Return the time after the reserve, within base and cap."""
        left_s = state.clock.left_s
        free_s = left_s - self.base_s * (state.clock.problems_left - 1)
        decision = BudgetDecision(free_s, BudgetReason.LEFT_AFTER_RESERVE)
        if free_s >= self.cap_s:
            decision = BudgetDecision(self.cap_s, BudgetReason.CAP)
        elif free_s <= self.base_s:
            decision = BudgetDecision(self.base_s, BudgetReason.BASE)
        if not self.hard or decision.limit_s <= left_s:
            return decision
        if left_s <= 0:
            return BudgetDecision(0.0, BudgetReason.NOTHING_LEFT)
        return BudgetDecision(left_s, BudgetReason.ALL_THAT_IS_LEFT)
