import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.voting.outcomes import ballot, outcome, state
from voting.adaptive import AheadBy, ByEffort, TopUp, lead
from voting.early_stop import StopReason
from voting.errors import PolicyError
from voting.launch import LaunchReason
from voting.weights import WeightReason, most_weight


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ((), 0),
        (((7, 1.0),), 1),
        (((7, 1.0), (7, 1.0)), 2),
        (((7, 1.0), (8, 1.0)), 0),
        (((7, 1.0), (8, 1.0), (7, 1.0), (7, 1.0)), 2),
        # Weights are relative: the lead is in the votes of the answer whose votes weigh most.
        (((7, 0.01), (7, 0.01)), 2),
        (((7, 1.0), (7, 0.5)), 2),
        (((7, 3.0), (8, 1.0)), 2 / 3),
        (((7, 1.0), (7, 1.0), (7, 1.0), (8, 2.0)), 1 / 2),
        (((7, 0.0), (8, 0.0)), 0),
        # Votes that weigh next to nothing do not make it look like more.
        (((7, 1.0), (8, 0.0)), 1),
        (((7, 1.0), (7, 0.0), (7, 0.0), (8, 0.5)), 1 / 2),
        (((7, 0.2), (8, 0.004), (8, 0.004)), 0.96),
    ],
)
def test_the_lead_is_in_votes(votes: tuple[tuple[int, float], ...], expected: float) -> None:
    assert lead(ballot(*votes)) == pytest.approx(expected)


@given(st.lists(st.tuples(st.integers(1, 3), st.floats(1e-6, 1e6)), max_size=9))
def test_the_lead_is_never_more_than_the_votes(votes: list[tuple[int, float]]) -> None:
    assert 0 <= lead(ballot(*votes)) <= len(votes) * (1 + 1e-9)


def test_a_solve_stops_when_an_answer_is_ahead() -> None:
    policy = AheadBy(2)
    stopped = policy.decide(state((7, 1.0), (8, 1.0), (7, 1.0), (7, 1.0)))
    assert stopped.stop
    assert stopped.answer is not None
    assert (stopped.answer.key, stopped.reason) == ("7", StopReason.AHEAD)
    assert (stopped.measure, stopped.needed) == (2, 2)
    going_on = policy.decide(state((7, 1.0), (8, 1.0), (7, 1.0)))
    assert (going_on.stop, going_on.answer, going_on.reason) == (False, None, StopReason.NOT_AHEAD)


def test_one_vote_is_no_agreement_and_none_is_no_error() -> None:
    assert not AheadBy(0.5).decide(state((7, 1.0))).stop
    assert not AheadBy(2).decide(state()).stop


@pytest.mark.parametrize("needed", [0.5, 2.0])
@pytest.mark.parametrize("others", [((8, 0.0),), ((8, 0.004), (8, 0.004)), ((8, 0.1),) * 5])
def test_one_vote_against_any_is_no_agreement(
    needed: float, others: tuple[tuple[int, float], ...]
) -> None:
    """Whatever it weighs: the attempts to come may all be against it."""
    now = state((7, 1.0), *others, attempts=8)
    assert not AheadBy(needed).decide(now).stop
    assert TopUp(needed).decide(now).add > 0


@pytest.mark.parametrize(
    ("votes", "running", "add", "reason"),
    [
        ((), 0, 2, LaunchReason.STAGE),
        ((), 2, 0, LaunchReason.UNDECIDED),
        (((7, 1.0),), 1, 0, LaunchReason.UNDECIDED),
        (((7, 1.0), (8, 1.0)), 0, 2, LaunchReason.OPEN),
        (((7, 1.0), (7, 1.0)), 0, 0, LaunchReason.DECIDED),
        (((7, 1.0), (8, 1.0), (7, 1.0)), 0, 1, LaunchReason.OPEN),
        (tuple((answer, 1.0) for answer in range(8)), 0, 0, LaunchReason.ALL_LAUNCHED),
        (tuple((answer, 1.0) for answer in range(7)), 0, 1, LaunchReason.OPEN),
    ],
)
def test_as_many_run_as_could_decide(
    votes: tuple[tuple[int, float], ...], running: int, add: int, reason: LaunchReason
) -> None:
    decision = TopUp(2).decide(state(*votes, running=running, attempts=8))
    assert (decision.add, decision.reason) == (add, reason)


def test_streams_bound_and_spare_ones_are_added() -> None:
    assert TopUp(4, streams=3).decide(state(attempts=16)).add == 3
    assert TopUp(2, streams=8, spare=3).decide(state(attempts=16)).add == 5


@given(
    st.lists(st.integers(1, 4), max_size=12), st.integers(0, 8), st.floats(0.5, 6),
    st.integers(1, 8), st.integers(0, 3),
)  # fmt: skip
def test_never_more_run_than_streams_or_attempts(
    answers: list[int], running: int, needed: float, streams: int, spare: int
) -> None:
    """And where nothing runs, an open ballot with attempts left always gets one."""
    now = state(*((answer, 1.0) for answer in answers), running=running, attempts=12)
    decision = TopUp(needed, streams, spare).decide(now)
    assert decision.add >= 0
    if decision.add:
        assert running + decision.add <= streams
        assert now.launched + decision.add <= 12
    elif running == 0 and now.launched < 12:
        assert AheadBy(needed).decide(now).stop


def test_effort_weighs_in_powers_and_is_bounded() -> None:
    weigh = ByEffort(1, 1).decide
    one = weigh(outcome(0, 7, tokens=10_000, tool_calls=9)).weight
    assert weigh(outcome(0, 7, tokens=20_000, tool_calls=9)).weight == pytest.approx(2 * one)
    assert weigh(outcome(0, 7, tokens=10_000, tool_calls=19)).weight == pytest.approx(2 * one)
    assert weigh(outcome(0, 7, tokens=10**9, tool_calls=10**6)).weight == most_weight(ByEffort())
    assert weigh(outcome(0, 7)).reason is WeightReason.EFFORT
    against = ByEffort(-1, 0).decide
    assert (
        against(outcome(0, 7, tokens=20_000)).weight < against(outcome(0, 7, tokens=10_000)).weight
    )
    assert ByEffort(0, 0).decide(outcome(0, 7, tokens=5)).weight == 1


@given(st.floats(-4, 4), st.floats(-4, 4), st.integers(0, 10**9), st.integers(0, 10**6))
def test_an_effort_always_weighs_something(
    tokens_power: float, calls_power: float, tokens: int, calls: int
) -> None:
    done = outcome(0, 7, tokens=tokens, tool_calls=calls)
    assert 0 < ByEffort(tokens_power, calls_power).decide(done).weight <= 1


@pytest.mark.parametrize("bad", [0, -1, math.nan, math.inf])
def test_a_lead_of_nothing_is_refused(bad: float) -> None:
    with pytest.raises(PolicyError, match="lead of"):
        AheadBy(bad)
    with pytest.raises(PolicyError, match="lead of"):
        TopUp(bad)


def test_powers_and_streams_out_of_range_are_refused() -> None:
    with pytest.raises(PolicyError, match="0 streams"):
        TopUp(streams=0)
    with pytest.raises(PolicyError, match="power of 5"):
        ByEffort(5)
    with pytest.raises(PolicyError, match="power of nan"):
        ByEffort(0, math.nan)
