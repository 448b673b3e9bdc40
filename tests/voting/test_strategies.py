import pytest

from tests.voting.outcomes import outcome
from voting.ballot import Ballot
from voting.early_stop import AgreeingAnswers, Never
from voting.errors import PolicyError, UnknownStrategyError
from voting.selecting import select
from voting.strategies import STRATEGIES, Strategy, strategy

#: Six attempts: 7 came first and from clean calls, 5 has most votes.
OUTCOMES = [
    outcome(0, 5, seconds=50, tool_calls=4, tool_errors=4),
    outcome(1, 5, seconds=60, tool_calls=4, tool_errors=4),
    outcome(2, 5, seconds=70, tool_calls=4, tool_errors=4),
    outcome(3, 7, seconds=20, tool_calls=4),
    outcome(4, 7, seconds=30, tool_calls=4),
    outcome(5, 8, seconds=10, finished=False),
]


def test_the_names() -> None:
    assert list(STRATEGIES) == ["greedy", "first_boxed", "majority_vote", "weighted_vote", "tir"]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("greedy", "7"),
        ("first_boxed", "7"),
        ("majority_vote", "5"),
        ("weighted_vote", "7"),
        ("tir", "7"),
    ],
)
def test_what_each_strategy_selects(name: str, key: str) -> None:
    chosen = strategy(name)
    selection = select(chosen.selector, Ballot.cast(OUTCOMES, chosen.weight), OUTCOMES)
    assert selection.answer is not None
    assert selection.answer.key == key


@pytest.mark.parametrize(
    ("name", "tools", "greedy", "attempts", "early_stop"),
    [
        ("greedy", False, True, 1, Never()),
        ("first_boxed", True, False, None, AgreeingAnswers(1)),
        ("majority_vote", False, False, None, Never()),
        ("weighted_vote", True, False, None, Never()),
        ("tir", True, False, None, AgreeingAnswers(4)),
    ],
)
def test_how_each_strategy_samples_and_stops(
    name: str, tools: bool, greedy: bool, attempts: int | None, early_stop: object
) -> None:
    chosen = strategy(name)
    assert (chosen.name, chosen.tools, chosen.greedy) == (name, tools, greedy)
    assert chosen.attempts == attempts
    assert chosen.early_stop(4) == early_stop


@pytest.mark.parametrize("chosen", STRATEGIES.values(), ids=STRATEGIES.keys())
def test_a_strategy_says_what_it_does(chosen: Strategy) -> None:
    assert chosen.description


def test_an_agreement_below_one_is_refused_where_it_counts() -> None:
    with pytest.raises(PolicyError, match="early stop at 0 equal answers"):
        strategy("tir").early_stop(0)
    assert strategy("majority_vote").early_stop(0) == Never()


@pytest.mark.parametrize("name", ["", "TIR", "genselect", "x" * 10_000])
def test_an_unknown_name_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownStrategyError) as caught:
        strategy(name)
    assert str(caught.value).endswith(
        "must be one of greedy, first_boxed, majority_vote, weighted_vote, tir; choose one of these"
    )
    assert len(str(caught.value)) < 200
