import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voting.allocation import AdaptiveBudget, PathLibrary
from voting.budget import BudgetClock, BudgetReason, BudgetState
from voting.errors import PolicyError
from voting.paths import ProblemPath, RatedPath, VoteMark


def path(first_s: float, *, right: bool = True, agree: bool = True, votes: int = 4) -> RatedPath:
    """A problem whose votes come every `first_s` seconds, for one answer or each for another."""
    marks = tuple(
        VoteMark(first_s * number, number, number if agree else 1, number if agree else 0)
        for number in range(1, votes + 1)
    )
    ratings = (float(right),) * votes
    return RatedPath(ProblemPath(marks, marks[-1].seconds, whole=True), ratings)


#: Three in four problems are quick and right; the others take ten times as long, and are wrong.
LIBRARY = PathLibrary([path(50), path(60), path(70), path(600, right=False, agree=False)])


def state(
    left_s: float,
    problems_left: int,
    marks: tuple[VoteMark, ...] = (),
    history: tuple[ProblemPath, ...] = (),
) -> BudgetState:
    clock = BudgetClock(now_s=0, deadline_s=left_s, problems_left=problems_left)
    elapsed_s = marks[-1].seconds if marks else 0.0
    return BudgetState(clock=clock, elapsed_s=elapsed_s, marks=marks, history=history)


def test_where_time_is_short_a_problem_is_left_at_its_first_answer() -> None:
    budget = AdaptiveBudget(LIBRARY)
    decision = budget.decide(state(70 * 50, 50, (VoteMark(55, 1, 1, 1),)))
    assert decision.reason is BudgetReason.SETTLED
    assert decision.limit_s == 55


def test_where_time_is_plenty_it_is_not_left_before_its_answer() -> None:
    decision = AdaptiveBudget(LIBRARY).decide(state(100_000, 2))
    assert decision.reason is BudgetReason.FIRST_VOTE
    assert decision.limit_s > 100


def test_a_hopeless_problem_is_left_for_the_others() -> None:
    """Quick ones bring an answer for 60 s; waiting 600 s for a slow one costs ten of them."""
    decision = AdaptiveBudget(LIBRARY).decide(state(100 * 20, 20))
    assert decision.limit_s < 600


def test_no_time_is_no_time_and_no_deadline_is_no_bound() -> None:
    budget = AdaptiveBudget(LIBRARY)
    assert budget.decide(state(0, 3)).reason is BudgetReason.NOTHING_LEFT
    unbounded = budget.decide(BudgetState(clock=BudgetClock(now_s=0, problems_left=3)))
    assert 100 < unbounded.limit_s < math.inf


def test_it_learns_that_this_run_is_slower_than_the_library() -> None:
    """Votes come at twice the time, so that a second of what is left is worth more."""
    budget = AdaptiveBudget(LIBRARY, prior_problems=1)
    slow = tuple(path(120).path for _ in range(20))
    before = budget.pace(state(100 * 30, 30))
    after = budget.pace(state(100 * 30, 30, history=slow))
    assert before.price < after.price
    mass = LIBRARY.prior.copy()
    for each in slow:
        mass = LIBRARY.learned(mass, each)
    assert mass.sum() == pytest.approx(21)
    # The quick paths at 1.4 and 2 times their time, and no others, explain what was seen.
    assert mass.reshape(5, -1)[3:, :3].sum() > 19


def test_a_problem_that_was_cut_counts_for_what_was_seen() -> None:
    """No vote in 300 s speaks for the slow path, and says nothing of what comes after."""
    cut = ProblemPath((), 300, whole=False)
    mass = LIBRARY.learned(LIBRARY.prior, cut)
    slow = mass.reshape(5, -1)[:, 3].sum()
    assert slow > 0.9 + LIBRARY.prior.reshape(5, -1)[:, 3].sum()


def test_the_same_state_gives_the_same_decision_whatever_was_asked_before() -> None:
    used, fresh = AdaptiveBudget(LIBRARY), AdaptiveBudget(LIBRARY)
    history = (path(120).path, path(90).path)
    for asked in (state(900, 9), state(2_000, 4, history=(path(10).path,)), state(10, 1)):
        used.decide(asked)
    asked = state(1_500, 12, history=history)
    assert used.decide(asked) == fresh.decide(asked)
    other = state(1_500, 12, history=(path(700).path, path(90).path))
    assert used.decide(other) == AdaptiveBudget(LIBRARY).decide(other)


MARKS = st.lists(st.floats(1, 2_000), max_size=6).map(
    lambda times: tuple(
        VoteMark(time, number, number, number) for number, time in enumerate(sorted(times), 1)
    )
)


@given(st.floats(0, 1e6), st.integers(1, 60), MARKS, st.lists(st.floats(0, 1e5), max_size=4))
@settings(max_examples=60, deadline=None)
def test_every_problem_has_a_share_and_none_is_late(
    left_s: float, problems_left: int, marks: tuple[VoteMark, ...], earlier: list[float]
) -> None:
    budget = AdaptiveBudget(LIBRARY, floor=0.1)
    history = tuple(ProblemPath((), seconds, whole=False) for seconds in earlier)
    started = budget.decide(state(left_s, problems_left, history=history))
    assert 0 <= started.limit_s <= left_s
    if left_s > 0:
        even_s = (left_s + sum(earlier)) / (problems_left + len(earlier))
        floor_s = min(0.1 * even_s, left_s / problems_left)
        assert started.limit_s >= floor_s * (1 - 1e-9)
        assert left_s - started.limit_s >= (problems_left - 1) * floor_s - 1e-9 * left_s
    later = budget.decide(state(left_s, problems_left, marks, history))
    assert 0 <= later.limit_s <= max(left_s, marks[-1].seconds if marks else 0)


def test_the_last_problem_of_a_run_keeps_as_much_as_the_first() -> None:
    """Each problem takes all that it may, and still none comes out empty."""
    budget = AdaptiveBudget(LIBRARY, floor=0.1)
    left_s, limits = 3_000.0, []
    history: tuple[ProblemPath, ...] = ()
    for problems_left in range(30, 0, -1):
        clock = BudgetClock(now_s=-left_s, deadline_s=0, problems_left=problems_left)
        limit_s = budget.decide(BudgetState(clock=clock, history=history)).limit_s
        limits.append(limit_s)
        left_s -= limit_s
        history = (*history, ProblemPath((), limit_s, whole=False))
    assert min(limits) >= 0.1 * 100 * (1 - 1e-9)
    assert sum(limits) <= 3_000 * (1 + 1e-9)


def test_a_library_without_a_vote_and_bad_settings_are_refused() -> None:
    with pytest.raises(PolicyError, match="must have a vote"):
        PathLibrary([RatedPath(ProblemPath((), 10, whole=True), ())])
    with pytest.raises(PolicyError, match="floor 0"):
        AdaptiveBudget(LIBRARY, floor=0)
    with pytest.raises(PolicyError, match="prior of nan"):
        AdaptiveBudget(LIBRARY, prior_problems=math.nan)
