"""How long a problem may take."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from voting.errors import ClockError, PolicyError


class BudgetReason(StrEnum):
    """Why a problem may take as long as it may."""

    #: The policy's fixed time.
    FIXED = "fixed"
    #: Less than the policy's time is left; all of it is given.
    ALL_THAT_IS_LEFT = "all_that_is_left"
    #: The deadline has passed.
    NOTHING_LEFT = "nothing_left"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetClock:
    """The time of a run when a problem starts.

    ``now_s`` and ``deadline_s`` are seconds on one clock, whatever its zero; no deadline is None.
    ``problems_left`` counts the problems still to be answered, this one included.

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


@dataclass(frozen=True, slots=True)
class BudgetDecision:
    """The seconds that a problem may take: finite, at least 0, at most what is left."""

    seconds: float
    reason: BudgetReason


class Budget(Protocol):
    """Decides, when a problem starts, how long it may take."""

    def decide(self, clock: BudgetClock) -> BudgetDecision:
        """Return the seconds for this problem. Raises nothing."""
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

    def decide(self, clock: BudgetClock) -> BudgetDecision:
        """Return the fixed time, or what is left where that is less."""
        if clock.left_s <= 0:
            return BudgetDecision(0.0, BudgetReason.NOTHING_LEFT)
        if clock.left_s < self.seconds:
            return BudgetDecision(clock.left_s, BudgetReason.ALL_THAT_IS_LEFT)
        return BudgetDecision(float(self.seconds), BudgetReason.FIXED)
