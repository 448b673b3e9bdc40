import pytest

from tests.voting.outcomes import outcome
from voting.ballot import Ballot
from voting.catalogue import Context
from voting.early_stop import AgreeingAnswers, Never, StagedAgreement
from voting.errors import UnknownStrategyError
from voting.launch import Staged
from voting.policies import make_policies
from voting.selecting import select
from voting.strategies import STRATEGIES, Strategy, strategy

NAMES = ["greedy", "first_boxed", "majority_vote", "weighted_vote", "tir", "genselect"]
CONTEXT = Context(attempts=16, agree=4)

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
    assert list(STRATEGIES) == NAMES


@pytest.mark.parametrize(
    ("name", "key"), [*zip(NAMES, ["7", "7", "5", "7", "7", "7"], strict=True)]
)
def test_what_each_strategy_selects(name: str, key: str) -> None:
    policies = make_policies(strategy(name).policies, CONTEXT)
    ballot = Ballot.cast(OUTCOMES, policies.weight)
    selection = select(policies.selector, ballot, OUTCOMES)
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
        ("genselect", True, False, None, AgreeingAnswers(4)),
    ],
)
def test_how_each_strategy_samples_and_stops(
    name: str, tools: bool, greedy: bool, attempts: int | None, early_stop: object
) -> None:
    chosen = strategy(name)
    assert (chosen.name, chosen.tools, chosen.greedy) == (name, tools, greedy)
    assert chosen.attempts == attempts
    assert make_policies(chosen.policies, CONTEXT).early_stop == early_stop


@pytest.mark.parametrize("chosen", STRATEGIES.values(), ids=STRATEGIES.keys())
def test_a_strategy_says_what_it_does_and_its_policies_exist(chosen: Strategy) -> None:
    assert chosen.description
    make_policies(chosen.policies, Context(attempts=1, agree=1))


def test_named_policies_take_the_place_of_the_strategys_own() -> None:
    names = strategy("tir").named({"weight": "plain", "selector": None, "prune": "auto"})
    assert (names.weight, names.selector, names.prune) == ("plain", "weighted", "none")


def test_a_staged_launch_brings_its_early_stop_unless_one_is_named() -> None:
    policies = make_policies(strategy("tir").named({"launch": "staged(4:3, 8:4)"}), CONTEXT)
    assert isinstance(policies.launch, Staged)
    assert policies.early_stop == StagedAgreement(policies.launch.stages)
    names = strategy("tir").named({"launch": "staged", "early_stop": "beta"})
    assert names.early_stop == "beta"
    assert strategy("majority_vote").named({"launch": "staged"}).early_stop == "none"


@pytest.mark.parametrize("name", ["", "TIR", "genselects", "x" * 10_000])
def test_an_unknown_name_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownStrategyError) as caught:
        strategy(name)
    text = str(caught.value)
    assert text.endswith(f"must be one of {', '.join(NAMES)}; choose one of these")
    assert len(text) < 200
