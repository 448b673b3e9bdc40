"""Policies by name: what may be written, and what is refused with a sentence."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voting.cascade import Cascade
from voting.catalogue import Catalogue, Context
from voting.early_stop import AgreeingAnswers, AnyOf, BetaPosterior, CannotBeOvertaken
from voting.errors import PolicyNameError, VotingError
from voting.evidence_weights import ByConfidence, Score
from voting.launch import Staged
from voting.policies import CATALOGUES, EARLY_STOPS, LAUNCHES, SELECTORS, WEIGHTS, PolicyNames
from voting.policies import make_policies as make
from voting.process_rewards import Aggregate, ProcessRewardVote
from voting.prune import GroupConfidence
from voting.rechecks import RecheckVote, RerunVote
from voting.revision import ReviewUntilStable
from voting.selectors import WeightedVote
from voting.stages import Stage
from voting.tournament import Tournament
from voting.weights import ByEntry, ByToolErrors, Plain, Product, most_weight

CONTEXT = Context(attempts=16, agree=6)


@pytest.mark.parametrize(
    ("catalogue", "text", "policy"),
    [
        (WEIGHTS, "plain", Plain()),
        (WEIGHTS, "tool_errors(0.25)", ByToolErrors(0.25)),
        (WEIGHTS, " tool_errors ( floor = 0.25 ) ", ByToolErrors(0.25)),
        (WEIGHTS, "entries(1, 1.1)", ByEntry((1.0, 1.1))),
        (
            WEIGHTS,
            "tool_errors*tail_confidence(cap=15)",
            Product((ByToolErrors(), ByConfidence(Score.TAIL, 15.0))),
        ),
        (EARLY_STOPS, "agree", AgreeingAnswers(6)),
        (EARLY_STOPS, "agree(99)", AgreeingAnswers(16)),
        (EARLY_STOPS, "agree(3) | beta(0.9)", AnyOf((AgreeingAnswers(3), BetaPosterior(0.9)))),
        (EARLY_STOPS, "cannot_be_overtaken(by=count)", CannotBeOvertaken(by_weight=False)),
        (LAUNCHES, "staged", Staged((Stage(4, 3), Stage(8, 4), Stage(16, 6)))),
        (LAUNCHES, "staged(4:3, 32:9)", Staged((Stage(4, 3), Stage(16, 4)))),
        (LAUNCHES, "doubling(8)", Staged((Stage(8, 8), Stage(16, 16)), waits=True)),
        (CATALOGUES["prune"], "deepconf(keep_fraction=0.1)", GroupConfidence(0.1)),
        (CATALOGUES["revision"], "once", ReviewUntilStable(1)),
        (SELECTORS, "genselect(size=4, repeats=2)", Tournament(4, 2)),
        (SELECTORS, "process_reward(least)", ProcessRewardVote(Aggregate.LEAST)),
        (
            SELECTORS,
            "cascade(weighted, rerun, recheck(trust=1), settled=0.6)",
            Cascade(WeightedVote(), Cascade(RerunVote(), RecheckVote(1.0), 0.6), 0.6),
        ),
    ],
)
def test_what_a_text_makes(catalogue: Catalogue[Any], text: str, policy: object) -> None:
    assert catalogue.make(text, CONTEXT) == policy


@pytest.mark.parametrize("kind", CATALOGUES)
def test_every_name_makes_a_policy_without_arguments(kind: str) -> None:
    for name in CATALOGUES[kind].entries:
        if name != "cascade":
            assert CATALOGUES[kind].make(name, CONTEXT) is not None


@pytest.mark.parametrize("name", WEIGHTS.entries)
def test_every_weight_has_a_bound(name: str) -> None:
    assert most_weight(WEIGHTS.make(name, CONTEXT)) == 1.0


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        ("weight", "best", "weight 'best': must be one of plain, tool_errors, "),
        ("weight", "", "must have a policy's name where it has 'the end'"),
        ("weight", "plain plain", "must have nothing more where it has 'plain'"),
        ("weight", "plain|plain", "must have nothing more where it has '|'"),
        ("weight", "plain(1)", "plain takes no arguments"),
        ("weight", "entries(plain)", "weight plain: must be a number"),
        ("weight", "entries(first=1)", "entries takes numbers without a name"),
        ("weight", "entries(1, 0)", "must be finite and above 0"),
        ("weight", "tokens(half=1, half=2)", "tokens takes half, each once"),
        ("weight", "tokens(half=much)", "half much: must be a number"),
        ("weight", "tokens(-1)", "token count -1.0: must be finite and above 0"),
        ("weight", "plain" + "*plain" * 99, "must be at most 400"),
        ("launch", "staged(8:4, 4:3)", "each must have more attempts than the one before"),
        ("launch", "staged(4)", "must be attempts:agree"),
        ("launch", "staged(4:5)", "stage 4:5"),
        ("launch", "doubling(0)", "doubling from 0 attempts: must be at least 1"),
        ("early_stop", "beta(1)", "posterior threshold 1.0: must be above 0 and under 1"),
        ("early_stop", "agree(1.5)", "needed 1.5: must be a whole number"),
        ("early_stop", "cannot_be_overtaken(by=luck)", "must be one of weight, count"),
        ("selector", "cascade(weighted)", "a cascade of 1 selectors: must be at least 2"),
        ("selector", "genselect(size=9)", "tournament of 9 at once: must be from 2 to 8"),
        ("selector", "cascade(" * 20, "at most 8 policies within each other"),
        ("prune", "deepconf(keep_fraction=0)", "keep_fraction 0.0: must be above 0"),
        ("revision", "until_stable(most=0)", "0 reviews: must be at least 1"),
    ],
)
def test_what_is_refused_and_how(kind: str, text: str, says: str) -> None:
    with pytest.raises(PolicyNameError) as caught:
        make(PolicyNames(**{kind: text}), CONTEXT)
    assert caught.value.kind == kind
    assert says in str(caught.value)
    assert len(str(caught.value)) < 700


@given(
    st.text(alphabet="plain()*|:,=.0123456789 staged_é", max_size=60),
    st.sampled_from([*CATALOGUES]),
)
def test_any_text_makes_a_policy_or_a_sentence(text: str, kind: str) -> None:
    with suppress(VotingError):
        assert CATALOGUES[kind].make(text, CONTEXT) is not None


@given(st.integers(1, 256), st.integers(1, 256))
def test_stages_of_any_size_end_with_all_attempts(attempts: int, agree: int) -> None:
    context = Context(attempts, agree)
    launch = LAUNCHES.make("staged", context)
    assert isinstance(launch, Staged)
    assert launch.stages[-1].attempts == attempts
    assert launch.stages[-1].agree == min(agree, attempts)
