import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voting.budget import BudgetClock, BudgetDecision, BudgetReason, FixedBudget
from voting.errors import ClockError, PolicyError


@pytest.mark.parametrize(
    ("now_s", "deadline_s", "expected"),
    [
        (100, None, BudgetDecision(300, BudgetReason.FIXED)),
        (100, 1_000, BudgetDecision(300, BudgetReason.FIXED)),
        (700, 1_000, BudgetDecision(300, BudgetReason.FIXED)),
        (701, 1_000, BudgetDecision(299, BudgetReason.ALL_THAT_IS_LEFT)),
        (1_000, 1_000, BudgetDecision(0, BudgetReason.NOTHING_LEFT)),
        (1_001, 1_000, BudgetDecision(0, BudgetReason.NOTHING_LEFT)),
        (-100, -50, BudgetDecision(50, BudgetReason.ALL_THAT_IS_LEFT)),
        (0, -50, BudgetDecision(0, BudgetReason.NOTHING_LEFT)),
    ],
)
def test_a_fixed_budget_is_what_is_left_at_most(
    now_s: float, deadline_s: float | None, expected: BudgetDecision
) -> None:
    clock = BudgetClock(now_s=now_s, deadline_s=deadline_s, problems_left=3)
    assert FixedBudget(300).decide(clock) == expected


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(FINITE, st.none() | FINITE, st.floats(1e-3, 1e6))
def test_a_budget_is_finite_and_never_negative_or_more_than_is_left(
    now_s: float, deadline_s: float | None, seconds: float
) -> None:
    clock = BudgetClock(now_s=now_s, deadline_s=deadline_s)
    decision = FixedBudget(seconds).decide(clock)
    assert 0 <= decision.seconds <= min(seconds, clock.left_s)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_time_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(ClockError, match=f"now_s {value}: must be a finite number of seconds"):
        BudgetClock(now_s=value)
    with pytest.raises(ClockError, match=f"deadline_s {value}: must be a finite number"):
        BudgetClock(now_s=0, deadline_s=value)


def test_this_problem_counts() -> None:
    with pytest.raises(PolicyError, match="0 problems left: must be at least 1"):
        BudgetClock(now_s=0, problems_left=0)


@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan])
def test_a_budget_that_is_no_time_is_refused(seconds: float) -> None:
    with pytest.raises(PolicyError, match=f"budget of {seconds} seconds: must be finite"):
        FixedBudget(seconds)
