import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voting.budget import (
    Budget,
    BudgetClock,
    BudgetDecision,
    BudgetReason,
    BudgetState,
    FixedBudget,
    GreedyBudget,
)
from voting.errors import ClockError, PolicyError


def decide(
    budget: Budget, now_s: float, deadline_s: float | None, problems_left: int = 3
) -> BudgetDecision:
    clock = BudgetClock(now_s=now_s, deadline_s=deadline_s, problems_left=problems_left)
    return budget.decide(BudgetState(clock=clock))


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
    assert decide(FixedBudget(300), now_s, deadline_s) == expected


@pytest.mark.parametrize(
    ("left_s", "problems_left", "expected"),
    [
        # 18,000 - 49 * 300 = 3,300: capped. With 10 problems less time saved, the surplus shows.
        (18_000, 50, BudgetDecision(900, BudgetReason.CAP)),
        (15_400, 50, BudgetDecision(700, BudgetReason.LEFT_AFTER_RESERVE)),
        (15_000, 50, BudgetDecision(300, BudgetReason.BASE)),
        (3_600, 50, BudgetDecision(300, BudgetReason.BASE)),
        # Floored although less is left: the published policy is late.
        (10, 1, BudgetDecision(300, BudgetReason.BASE)),
        (0, 1, BudgetDecision(300, BudgetReason.BASE)),
        (450, 1, BudgetDecision(450, BudgetReason.LEFT_AFTER_RESERVE)),
    ],
)
def test_the_greedy_budget_is_the_published_one(
    left_s: float, problems_left: int, expected: BudgetDecision
) -> None:
    assert decide(GreedyBudget(), 0, left_s, problems_left) == expected


@pytest.mark.parametrize(
    ("left_s", "expected"),
    [
        (10, BudgetDecision(10, BudgetReason.ALL_THAT_IS_LEFT)),
        (0, BudgetDecision(0, BudgetReason.NOTHING_LEFT)),
    ],
)
def test_a_hard_greedy_budget_is_never_late(left_s: float, expected: BudgetDecision) -> None:
    assert decide(GreedyBudget(hard=True), 0, left_s, 1) == expected


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(FINITE, st.none() | FINITE, st.floats(1e-3, 1e6))
def test_a_budget_is_finite_and_never_negative_or_more_than_is_left(
    now_s: float, deadline_s: float | None, seconds: float
) -> None:
    clock = BudgetClock(now_s=now_s, deadline_s=deadline_s)
    for budget in (FixedBudget(seconds), GreedyBudget(seconds, 2 * seconds, hard=True)):
        decision = budget.decide(BudgetState(clock=clock))
        assert 0 <= decision.limit_s <= min(2 * seconds, clock.left_s)


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_budgets_of_no_time_are_refused(seconds: float) -> None:
    with pytest.raises(PolicyError, match="must be"):
        FixedBudget(seconds)
    with pytest.raises(PolicyError, match="must be"):
        GreedyBudget(base_s=seconds)


def test_a_clock_must_be_a_number_and_have_problems() -> None:
    with pytest.raises(ClockError, match="now_s nan: must be a finite number"):
        BudgetClock(now_s=math.nan)
    with pytest.raises(ClockError, match="deadline_s inf"):
        BudgetClock(now_s=0, deadline_s=math.inf)
    with pytest.raises(PolicyError, match="0 problems left"):
        BudgetClock(now_s=0, problems_left=0)
    for elapsed_s in (-1, math.nan, math.inf):
        with pytest.raises(ClockError, match="seconds elapsed"):
            BudgetState(clock=BudgetClock(now_s=0), elapsed_s=elapsed_s)
