import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.voting.replay.recorded import (
    SHARED,
    STEADY,
    combination,
    recorded,
    right,
    wrong,
)
from voting.budget import BudgetClock, FixedBudget
from voting.errors import ReplayError
from voting.machine import H100, Machine
from voting.replay.records import Dip, RecordedAttempt, RecordedProblem, with_attempts
from voting.replay.solve import Combination, ReplayedSolve, ReplayEnd, TimeLimit, replay_solve
from voting.scores import TokenScores


def replay(
    chosen: Combination,
    *attempts: RecordedAttempt,
    machine: Machine = STEADY,
    limit_s: float | None = None,
) -> ReplayedSolve:
    limit = None
    if limit_s is not None:
        clock = BudgetClock(now_s=0.0, deadline_s=limit_s)
        limit = TimeLimit(clock, FixedBudget(max(limit_s, 1.0)))
    return replay_solve(attempts, chosen, chosen.make(), machine, limit)


def test_agreement_cuts_the_rest_at_the_tokens_they_had() -> None:
    solve = replay(
        combination(attempts=4, early_stop="agree(2)"), right(10), wrong(20), right(30), right(99)
    )
    assert (solve.right, solve.right_seen, solve.end) == (True, True, ReplayEnd.AGREEMENT)
    assert solve.seconds == pytest.approx(30)
    assert solve.cut_tokens == 30
    assert solve.tokens == 10 + 20 + 30 + 30
    assert (solve.launched, solve.votes) == (4, 3)
    assert [mark.seconds for mark in solve.path.marks] == pytest.approx([10, 20, 30])
    assert [mark.leader for mark in solve.path.marks] == [1, 1, 2]
    assert solve.path.whole


def test_staged_attempts_start_when_the_stage_before_cannot_agree() -> None:
    stages = "staged(2:2, 4:3)"
    chosen = combination(attempts=4, launch=stages, early_stop=stages)
    solve = replay(chosen, right(10), wrong(20), right(30), right(50))
    # The second stage starts at 20, where the first two differ; one more vote is for 1 at 50.
    assert solve.seconds == pytest.approx(70)
    assert (solve.launched, solve.tokens, solve.end) == (4, 110, ReplayEnd.AGREEMENT)
    agreed = replay(chosen, right(10), right(20), right(30), right(50))
    assert (agreed.launched, agreed.tokens, agreed.seconds) == pytest.approx((2, 30, 20))


def test_a_shared_machine_slows_each_down() -> None:
    """Four streams at half a token a second each, then three at two thirds, and so on."""
    solve = replay(combination(attempts=4), *(right(10),) * 4, machine=SHARED)
    assert solve.seconds == pytest.approx(20)
    two = replay(
        combination(attempts=4), right(10), right(10), right(20), right(20), machine=SHARED
    )
    # 40 of 60 tokens at 2 a second until the first two end, then 20 more.
    assert two.seconds == pytest.approx(30)
    assert two.tokens == 60


def test_tool_calls_take_their_time() -> None:
    slow = Machine(name="slow", decode=((1, 1.0),), start_s=5, tool_call_s=2)
    solve = replay(combination(attempts=1), right(10, calls=3), machine=slow)
    assert solve.seconds == pytest.approx(10 + 5 + 6)


def test_slots_bound_what_runs_at_once() -> None:
    two = Machine(name="two", decode=((1, 1.0), (9, 1.0)), slots=2)
    solve = replay(combination(attempts=4), *(right(10),) * 4, machine=two)
    assert (solve.launched, solve.seconds) == pytest.approx((4, 20))


def test_a_deadline_cuts_and_what_voted_decides() -> None:
    solve = replay(combination(attempts=3), right(10), wrong(50), wrong(60), limit_s=20)
    assert (solve.right, solve.end, solve.votes) == (True, ReplayEnd.DEADLINE, 1)
    assert (solve.seconds, solve.tokens) == pytest.approx((20, 50))
    assert not solve.path.whole
    nothing = replay(combination(attempts=3), right(30), limit_s=20)
    assert (nothing.answer, nothing.right, nothing.tokens) == (None, False, 20)


def test_without_time_nothing_is_launched() -> None:
    solve = replay(combination(), right(10), limit_s=0)
    assert (solve.launched, solve.seconds, solve.end) == (0, 0, ReplayEnd.DEADLINE)
    assert solve.first_limit_s == 0


def test_a_ballot_may_miss_a_right_answer_that_it_saw() -> None:
    solve = replay(combination(attempts=3), right(10), wrong(20), wrong(30))
    assert (solve.right, solve.right_seen) == (False, True)


def test_attempts_without_an_answer_cost_tokens_and_have_no_vote() -> None:
    solve = replay(combination(attempts=2), recorded(None, 500), right(10))
    assert (solve.right, solve.votes, solve.tokens) == (True, 1, 510)
    failed = replay(combination(attempts=1), recorded(None, 500))
    assert (failed.answer, failed.right, failed.end) == (None, False, ReplayEnd.ALL_FINISHED)


def test_weights_and_selectors_are_those_of_the_names() -> None:
    attempts = (right(100, calls=30), wrong(10), wrong(10))
    plain = replay(combination(attempts=3, selector="weighted"), *attempts)
    effort = replay(combination(attempts=3, selector="weighted", weight="effort(0,1)"), *attempts)
    assert (plain.right, effort.right) == (False, True)


def test_a_selector_that_asks_for_a_rerun_is_told_what_the_code_printed() -> None:
    attempts = (
        recorded(2, 10, printed=False), recorded(2, 20, printed=False),
        recorded(1, 30, right=True, printed=True),
    )  # fmt: skip
    assert not replay(combination(attempts=3), *attempts).right
    assert replay(combination(attempts=3, selector="rerun"), *attempts).right


def test_a_selector_that_asks_a_model_decides_without_a_reply() -> None:
    solve = replay(combination(attempts=3, selector="genselect"), right(10), right(20), wrong(30))
    assert solve.right


def test_pruning_ends_an_attempt_at_its_dip() -> None:
    """Two attempts of the warm-up set the bar at 10; the third falls under it after 40 tokens."""
    chosen = combination(attempts=3, prune="deepconf(keep_fraction=1, warm_up=2)")
    from_scores = [
        RecordedAttempt(answer=right(1).answer, right=True, tokens=tokens, scores=scores(10.0))
        for tokens in (10, 20)
    ]
    hopeless = recorded(2, 100, dips=(Dip(30, 12.0), Dip(40, 5.0), Dip(70, 1.0)))
    solve = replay(chosen, *from_scores, hopeless)
    assert (solve.seconds, solve.tokens, solve.cut_tokens) == pytest.approx((40, 70, 40))
    kept = replay(combination(attempts=3), *from_scores, hopeless)
    assert (kept.tokens, kept.votes) == (130, 3)


def scores(lowest: float) -> TokenScores:
    return TokenScores(tokens=10, lowest_group=lowest)


ATTEMPTS = st.lists(
    st.builds(
        lambda written, tokens, calls: recorded(written, tokens, right=written == 1, calls=calls),
        st.none() | st.integers(1, 4), st.integers(0, 50_000), st.integers(0, 60),
    ),
    min_size=1, max_size=10,
)  # fmt: skip
POLICIES = st.sampled_from(
    [
        {}, {"early_stop": "agree"}, {"early_stop": "ahead(2)", "launch": "top_up(2)"},
        {"early_stop": "staged", "launch": "staged"}, {"launch": "doubling", "early_stop": "beta"},
        {"early_stop": "cannot_be_overtaken", "weight": "effort", "selector": "weighted"},
    ]
)  # fmt: skip


@given(ATTEMPTS, POLICIES, st.none() | st.floats(0, 2_000))
@settings(max_examples=40, deadline=None)
def test_every_solve_ends_within_its_means(
    attempts: list[RecordedAttempt], names: dict[str, str], limit_s: float | None
) -> None:
    chosen = combination(attempts=8, agree=3, **names)
    solve = replay(chosen, *attempts, machine=H100, limit_s=limit_s)
    launched = attempts[: solve.launched]
    assert solve.launched <= min(8, len(attempts))
    assert 0 <= solve.cut_tokens <= solve.tokens <= sum(one.tokens for one in launched) + 8
    assert solve.seconds <= (math.inf if limit_s is None else limit_s + 1e-6)
    assert solve.right <= solve.right_seen <= any(one.right for one in launched)
    if limit_s is None and solve.end is ReplayEnd.ALL_FINISHED:
        assert solve.votes == sum(one.answer is not None for one in launched)


def test_records_that_cannot_be_are_refused() -> None:
    with pytest.raises(ReplayError, match="tokens -1"):
        right(-1)
    with pytest.raises(ReplayError, match="without an answer: cannot be right"):
        recorded(None, 5, right=True)
    with pytest.raises(ReplayError, match="0 recorded attempts"):
        RecordedProblem("p", ())
    with pytest.raises(ReplayError, match="must be at most 1"):
        with_attempts([RecordedProblem("p", (right(1),))], 2)
