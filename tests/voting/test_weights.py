import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.voting.outcomes import outcome
from voting.ballot import Ballot
from voting.errors import PolicyError
from voting.weights import (
    DEFAULT_FLOOR,
    ByEntry,
    ByToolErrors,
    Plain,
    Product,
    WeightDecision,
    WeightReason,
)


def test_plain_weighs_every_vote_one() -> None:
    decision = Plain().decide(outcome(0, 42, tool_calls=9, tool_errors=9))
    assert decision == WeightDecision(1.0, WeightReason.EQUAL)


@pytest.mark.parametrize(
    ("calls", "errors", "weight", "reason"),
    [
        (0, 0, 1.0, WeightReason.NO_TOOL_CALLS),
        (4, 0, 1.0, WeightReason.TOOL_ERRORS),
        (4, 1, 0.8, WeightReason.TOOL_ERRORS),
        (4, 2, 0.6, WeightReason.TOOL_ERRORS),
        (4, 4, 0.2, WeightReason.TOOL_ERRORS),
    ],
)
def test_tool_errors_lower_the_weight_to_the_floor(
    calls: int, errors: int, weight: float, reason: WeightReason
) -> None:
    decision = ByToolErrors(floor=0.2).decide(outcome(0, 42, tool_calls=calls, tool_errors=errors))
    assert decision.weight == pytest.approx(weight)
    assert decision.reason is reason


@given(st.integers(1, 10**6), st.data(), st.floats(1e-9, 1))
def test_the_weight_falls_with_the_share_of_errors_within_its_bounds(
    calls: int, data: st.DataObject, floor: float
) -> None:
    errors = sorted(data.draw(st.lists(st.integers(0, calls), min_size=2, max_size=2)))
    fewer, more = (
        ByToolErrors(floor).decide(outcome(0, 42, tool_calls=calls, tool_errors=count)).weight
        for count in errors
    )
    assert floor * (1 - 1e-6) <= more <= fewer <= 1


@pytest.mark.parametrize("floor", [0.0, -0.1, 1.1, math.nan, math.inf])
def test_a_floor_out_of_range_is_refused(floor: float) -> None:
    with pytest.raises(PolicyError, match=f"weight floor {floor}: must be above 0 and at most 1"):
        ByToolErrors(floor)


def test_votes_weigh_what_their_entry_of_the_mix_does() -> None:
    weight = ByEntry((1.0, 1.25))
    decisions = [weight.decide(outcome(attempt, 42)) for attempt in range(5)]
    assert [decision.weight for decision in decisions] == [1.0, 1.25, 1.0, 1.25, 1.0]
    assert {decision.reason for decision in decisions} == {WeightReason.ENTRY}
    assert weight.most == 1.25
    answers = [7, 9, 7, 9]
    votes = [outcome(attempt, each) for attempt, each in enumerate(answers)]
    assert [line.answer.key for line in Ballot.cast(votes, weight).lines] == ["9", "7"]
    assert [line.answer.key for line in Ballot.cast(votes, ByEntry()).lines] == ["7", "9"]


@pytest.mark.parametrize("weights", [(), (0.0,), (1.0, -1.0), (math.nan,), (math.inf, 1.0)])
def test_weights_of_entries_out_of_range_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(PolicyError, match="must be finite and above 0, at least one"):
        ByEntry(weights)


def test_a_product_shows_its_factors() -> None:
    failing = outcome(0, 42, tool_calls=2, tool_errors=2)
    decision = Product((ByToolErrors(), Plain(), ByToolErrors())).decide(failing)
    assert decision.weight == DEFAULT_FLOOR**2
    assert decision.reason is WeightReason.PRODUCT
    assert [part.weight for part in decision.parts] == [DEFAULT_FLOOR, 1.0, DEFAULT_FLOOR]


def test_the_empty_product_is_one() -> None:
    assert Product(()).decide(outcome(0, 42)).weight == 1.0
