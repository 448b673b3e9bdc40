import math
from dataclasses import replace
from typing import Any

import mpmath
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.voting.outcomes import ballot, state
from voting.adaptive import AheadBy
from voting.early_stop import (
    AgreeingAnswers,
    AnyOf,
    BetaPosterior,
    CannotBeOvertaken,
    EarlyStop,
    Never,
    StagedAgreement,
    StopReason,
    VoteShare,
    majority_probability,
)
from voting.errors import ClockError, PolicyError
from voting.stages import Stage
from voting.state import SolveState


@pytest.mark.parametrize(
    ("votes", "stops_at"),
    [
        ([], None),
        ([5], None),
        ([5, 7, 8], None),
        ([5, 7, 5], None),
        ([5, 7, 5, 5], "5"),
        ([5, 5, 5, 5], "5"),
        ([7, 5, 7, 5, 7, 5], "7"),
    ],
)
def test_three_equal_answers_are_enough(votes: list[int], stops_at: str | None) -> None:
    decision = AgreeingAnswers(3).decide(state(*((vote, 1.0) for vote in votes), running=2))
    assert decision.stop is (stops_at is not None)
    assert (decision.answer.key if decision.answer else None) == stops_at
    expected = StopReason.ENOUGH_AGREE if stops_at else StopReason.TOO_FEW_AGREE
    assert decision.reason is expected


def test_votes_count_whatever_they_weigh() -> None:
    heavy_loser = state((7, 9.0), (5, 0.1), (5, 0.1))
    decision = AgreeingAnswers(2).decide(heavy_loser)
    assert decision.answer is not None
    assert decision.answer.key == "5"


def test_never_does_not_stop() -> None:
    decision = Never().decide(state((5, 1.0), (5, 1.0), running=1))
    assert (decision.stop, decision.answer, decision.reason) == (False, None, StopReason.NEVER)


@pytest.mark.parametrize("needed", [0, -1])
def test_fewer_than_one_equal_answer_is_refused(needed: int) -> None:
    with pytest.raises(
        PolicyError, match=f"early stop at {needed} equal answers: must be at least"
    ):
        AgreeingAnswers(needed)


@pytest.mark.parametrize(
    ("votes", "running", "stops"),
    [
        ([(5, 1.0), (5, 1.0), (7, 1.0)], 0, True),
        ([(5, 1.0), (5, 1.0), (7, 1.0)], 1, False),
        ([(5, 1.0), (5, 1.0), (5, 1.0)], 2, True),
        ([(5, 1.0), (5, 1.0), (5, 1.0)], 3, False),
        ([(5, 0.2), (5, 0.2), (5, 0.2), (7, 0.1)], 1, False),
        ([], 0, False),
        ([(5, 1.0), (7, 1.0)], 0, False),
    ],
)
def test_the_leader_must_be_out_of_reach(
    votes: list[tuple[str | int, float]], running: int, stops: bool
) -> None:
    assert CannotBeOvertaken().decide(state(*votes, running=running)).stop is stops


@pytest.mark.parametrize(
    ("policy", "votes", "running"),
    [
        (CannotBeOvertaken(), [5, 5, 5, 5, 7, 7, 8], 1),
        (CannotBeOvertaken(by_weight=False), [5, 5, 5, 5, 7, 7, 8], 1),
        (BetaPosterior(), [5, 5, 5, 5, 5, 5, 7, 8, 9], 4),
        (AheadBy(2), [5, 5, 5, 7, 8], 3),
    ],
)
def test_rivals_that_may_yet_be_found_equal_count_as_one(
    policy: EarlyStop, votes: list[int], running: int
) -> None:
    apart = state(*((vote, 1.0) for vote in votes), running=running)
    assert policy.decide(apart).stop
    assert not policy.decide(replace(apart, unsettled=True)).stop
    # What stands against the leader together is all that it can be.
    decided = replace(state((5, 1.0), (5, 1.0), (5, 1.0), (5, 1.0)), unsettled=True)
    assert policy.decide(decided).stop


@pytest.mark.parametrize("policy", [CannotBeOvertaken(), AheadBy(2)])
def test_rivals_that_weigh_more_than_a_float_holds_stop_nothing(policy: EarlyStop) -> None:
    heavy = state((5, 1e308), (7, 1e308), (8, 1e308), running=1, most_weight=1e308)
    assert not policy.decide(replace(heavy, unsettled=True)).stop


def test_attempts_not_yet_launched_can_overtake_too() -> None:
    votes: list[tuple[str | int, float]] = [(5, 1.0), (5, 1.0)]
    assert CannotBeOvertaken().decide(state(*votes)).stop
    assert not CannotBeOvertaken().decide(state(*votes, attempts=4)).stop


def test_a_weight_without_bound_is_never_out_of_reach_while_any_is_to_come() -> None:
    votes: list[tuple[str | int, float]] = [(5, 9.0)] * 9
    assert not CannotBeOvertaken().decide(state(*votes, running=1, most_weight=math.inf)).stop
    assert CannotBeOvertaken().decide(state(*votes, most_weight=math.inf)).stop
    assert (
        CannotBeOvertaken(by_weight=False)
        .decide(state(*votes, running=1, most_weight=math.inf))
        .stop
    )


@given(
    st.lists(st.tuples(st.integers(1, 3), st.floats(0, 1)), max_size=8),
    st.lists(st.tuples(st.integers(1, 4), st.floats(0, 1)), max_size=4),
)
def test_what_cannot_be_overtaken_is_not(
    cast: list[tuple[int, float]], to_come: list[tuple[int, float]]
) -> None:
    decision = CannotBeOvertaken().decide(state(*cast, running=len(to_come)))
    if decision.stop and decision.answer is not None:
        assert ballot(*cast, *to_come).lines[0].answer.key == decision.answer.key


@pytest.mark.parametrize(
    ("counts", "probability"),
    [((), 0.5), ((1,), 0.75), ((4,), 1 - 1 / 32), ((2, 2), 0.5), ((3, 1), 1 - 6 / 32)],
)
def test_the_posterior_of_a_majority(counts: tuple[int, ...], probability: float) -> None:
    votes: list[tuple[str | int, float]] = [
        (answer, 1.0) for answer, count in enumerate(counts) for _ in range(count)
    ]
    assert majority_probability(ballot(*votes)) == pytest.approx(probability)
    stop = BetaPosterior(0.95).decide(state(*votes, running=1))
    assert stop.stop is (probability >= 0.95)
    assert stop.measure == pytest.approx(probability)


@given(st.integers(0, 120), st.integers(0, 120))
def test_the_posterior_agrees_with_the_integral(first: int, second: int) -> None:
    high, low = max(first, second), min(first, second)
    votes = [(1, 1.0) for _ in range(first)] + [(2, 1.0) for _ in range(second)]
    integral = float(mpmath.betainc(high + 1, low + 1, 0.5, 1, regularized=True))
    assert majority_probability(ballot(*votes)) == pytest.approx(integral, abs=1e-12)


def test_a_share_needs_enough_votes() -> None:
    policy = VoteShare(0.75, least=4)
    assert not policy.decide(state((5, 1.0), (5, 1.0), (5, 1.0))).stop
    assert policy.decide(state((5, 1.0), (5, 1.0), (5, 1.0), (7, 1.0))).stop
    assert not policy.decide(state((5, 1.0), (5, 1.0), (6, 1.0), (7, 1.0))).stop


@pytest.mark.parametrize(
    ("votes", "launched", "stops"), [(3, 4, True), (3, 5, False), (4, 8, True), (5, 16, False)]
)
def test_a_stage_asks_for_its_own_agreement(votes: int, launched: int, stops: bool) -> None:
    policy = StagedAgreement((Stage(4, 3), Stage(8, 4), Stage(16, 6)))
    at = state(*[(5, 1.0)] * votes, running=launched - votes)
    assert policy.decide(at).stop is stops


def test_one_of_several_policies_is_enough_and_gives_its_reason() -> None:
    both = AnyOf((AgreeingAnswers(9), VoteShare()))
    decision = both.decide(state(*[(5, 1.0)] * 4))
    assert (decision.stop, decision.reason) == (True, StopReason.ENOUGH_SHARE)
    assert both.decide(state()).reason is StopReason.TOO_FEW_AGREE


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"left_s": -1.0}, "-1.0 seconds left"),
        ({"left_s": math.nan}, "nan seconds left"),
        ({"attempt_s": math.inf}, "inf an attempt"),
        ({"free_slots": -1}, "-1 free slots"),
        ({"most_weight": math.nan}, "votes of at most nan"),
    ],
)
def test_a_clock_that_jumped_and_other_nonsense_is_refused(
    wrong: dict[str, Any], says: str
) -> None:
    with pytest.raises((ClockError, PolicyError), match=says):
        SolveState(**wrong)


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 4)), min_size=1, max_size=6),
    st.lists(st.sampled_from([0.1, 0.3, 0.7, 0.9, 1.1, 1 / 3]), min_size=5, max_size=5),
    st.integers(0, 3),
)
@example([(1, 0), (2, 1), (2, 0)], [0.7, 0.9, 0.1, 0.1, 0.1], 1)
def test_what_cannot_be_overtaken_is_not_even_reached(
    votes: list[tuple[int, int]], weights: list[float], to_come: int
) -> None:
    """Sums of decimal weights that are equal differ in their last digits: such a tie goes on."""
    most = max(weights)
    cast = [(answer, weights[place]) for answer, place in votes]
    now = state(*cast, running=to_come, most_weight=most)
    decision = CannotBeOvertaken().decide(now)
    if not decision.stop or decision.answer is None:
        return
    for rival in (1, 2, 3, 4):
        if str(rival) == decision.answer.key:
            continue
        lines = ballot(*cast, *((rival, most),) * to_come).lines
        assert lines[0].answer.key == decision.answer.key
        assert len(lines) == 1 or lines[0].weight > lines[1].weight
