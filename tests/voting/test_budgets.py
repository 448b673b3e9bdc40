"""Budgets by name, on machines of any speed."""

import random

import pytest

from voting.budget import BudgetClock, BudgetState
from voting.budgets import make_budget
from voting.catalogue import Context
from voting.errors import PolicyError, PolicyNameError
from voting.paths import ProblemPath, VoteMark

CONTEXT = Context(attempts=8, agree=4)
NAMES = ("adaptive", "greedy", "fixed", "adaptive(floor=0.2)", "greedy(30, 90)", "fixed(45)")


def state(
    now_s: float = 0.0,
    limit_s: float = 18_000.0,
    left: int = 50,
    history: tuple[ProblemPath, ...] = (),
    marks: tuple[VoteMark, ...] = (),
    elapsed_s: float = 0.0,
) -> BudgetState:
    clock = BudgetClock(now_s=now_s, deadline_s=limit_s, problems_left=left)
    return BudgetState(clock=clock, elapsed_s=elapsed_s, marks=marks, history=history)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("limit_s", [5.0, 600.0, 18_000.0])
def test_no_run_ends_late_and_no_problem_is_without_a_share(name: str, limit_s: float) -> None:
    """Problems that vote when they like, fast or slow: each is left when its budget says so."""
    budget, source = make_budget(name, CONTEXT), random.Random(1)
    now_s, least = 0.0, limit_s
    history: tuple[ProblemPath, ...] = ()
    for left in range(20, 0, -1):
        speed = limit_s / 20 * source.lognormvariate(0, 1.5)
        marks: tuple[VoteMark, ...] = ()
        limit = budget.decide(state(now_s, limit_s, left, history)).limit_s
        least = min(least, limit)
        for votes in range(1, 9):
            seconds = speed * votes / 4
            if seconds > limit:
                break
            marks = (*marks, VoteMark(seconds, votes, max(votes // 2, 1), 1))
            limit = budget.decide(state(now_s, limit_s, left, history, marks, seconds)).limit_s
        took = min(max(limit, marks[-1].seconds if marks else 0), limit_s - now_s)
        seconds = max(took, marks[-1].seconds if marks else 0)
        history = (*history, ProblemPath(marks, seconds, whole=False))
        now_s += took
        assert now_s <= limit_s + 1e-6
    if name.startswith("adaptive"):
        assert least > 0.01 * limit_s / 20


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("zero_s", [0.0, 1_700_000_000.0, -1e15])
def test_the_last_problem_has_no_more_than_is_left_whatever_the_zero_of_the_clock(
    name: str, zero_s: float
) -> None:
    budget = make_budget(name, CONTEXT)
    earlier = (ProblemPath((), 6.0, whole=False),)
    for took_s in range(1, 60):
        at = state(zero_s + took_s, zero_s + 60.0, 1, earlier)
        assert budget.decide(at).limit_s <= at.clock.left_s


@pytest.mark.parametrize("faster", [1.0, 10.0, 1_000.0])
def test_the_one_that_learns_does_the_same_at_any_speed(faster: float) -> None:
    budget = make_budget("adaptive", CONTEXT)
    path = ProblemPath((VoteMark(60 / faster, 1, 1, 1),), 100 / faster, True)
    for history in ((), (path,) * 5):
        limit = budget.decide(state(0, 7_500 / faster, 50, history)).limit_s
        usual = ProblemPath((VoteMark(60, 1, 1, 1),), 100, True)
        expected = budget.decide(state(0, 7_500, 50, (usual,) * len(history))).limit_s
        assert limit * faster == pytest.approx(expected, rel=0.02)


def test_easy_problems_do_not_cut_a_hard_one_before_its_first_vote() -> None:
    budget = make_budget("adaptive", CONTEXT)
    easy = ProblemPath((VoteMark(0.02, 1, 1, 1), VoteMark(0.03, 4, 4, 1)), 0.03, True)
    decision = budget.decide(state(24.0, 300.0, 46, (easy,) * 4))
    assert decision.limit_s >= 276 / 46


def test_a_slow_machine_shows_in_its_own_problems() -> None:
    budget = make_budget("adaptive", CONTEXT)
    slow = tuple(ProblemPath((VoteMark(1_500, 1, 1, 1),), 2_000, True) for _ in range(6))
    cut = tuple(ProblemPath((), 900, False) for _ in range(6))
    usual = budget.decide(state(0, 100_000, 20)).limit_s
    assert budget.decide(state(0, 100_000, 20, slow)).limit_s > 2 * usual
    assert budget.decide(state(0, 100_000, 20, cut)).limit_s > usual


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("best", PolicyNameError),
        ("fixed(x)", PolicyNameError),
        ("fixed(1, 2)", PolicyNameError),
        ("fixed(0)", PolicyError),
        ("greedy(90, 30)", PolicyError),
        ("adaptive(2)", PolicyError),
    ],
)
def test_what_is_no_budget_is_refused(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        make_budget(text, CONTEXT)
