import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.voting.outcomes import outcome
from voting.ballot import Ballot
from voting.catalogue import Context
from voting.errors import PolicyError
from voting.evidence_weights import (
    ByCodeAgreement,
    ByConfidence,
    ByEntropy,
    ByExactness,
    ByFinish,
    ByTokens,
    ExecutionFilter,
    Score,
)
from voting.policies import WEIGHTS
from voting.revision import NoReview, ReviewUntilStable, RevisionReason
from voting.savings import Savings, savings
from voting.scores import TokenScores
from voting.weights import WeightReason, needs_scores

SCORES = TokenScores(
    tokens=9, mean_entropy=0.4, mean_confidence=10, lowest_group=2, bottom_tenth=4, tail=30
)


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        (ByTokens(100), 0.25),
        (ByEntropy(0.1), 0.25),
        (ByEntropy(1.0), 1.0),
        (ByConfidence(Score.MEAN), 0.5),
        (ByConfidence(Score.LOWEST_GROUP), 0.1),
        (ByConfidence(Score.BOTTOM_TENTH), 0.2),
        (ByConfidence(Score.TAIL), 1.0),
        (ByCodeAgreement(), 1.0),
        (ExecutionFilter(), 1.0),
    ],
)
def test_what_an_attempt_weighs(weight: ByTokens, expected: float) -> None:
    seen = outcome(0, 5, tokens=300, scores=SCORES, printed=True, tool_calls=2, tool_errors=1)
    assert weight.decide(seen).weight == pytest.approx(expected)


@pytest.mark.parametrize(
    ("weight", "expected", "reason"),
    [
        (ByEntropy(), 1.0, WeightReason.NO_SCORE),
        (ByConfidence(Score.TAIL), 0.5, WeightReason.NO_SCORE),
        (ByCodeAgreement(0.3), 0.3, WeightReason.NOT_PRINTED),
        (ExecutionFilter(), 0.0, WeightReason.NOT_EXECUTED),
    ],
)
def test_what_an_attempt_without_evidence_weighs(
    weight: ByEntropy, expected: float, reason: WeightReason
) -> None:
    decision = weight.decide(outcome(0, 5, tool_calls=2, tool_errors=2, scores=TokenScores()))
    assert (decision.weight, decision.reason) == (expected, reason)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("30^\\circ", 1.0),
        (r"\frac{3}{2}", 1.0),
        ("64.62", 0.9),
        ("-.5", 0.9),
        ("x = 1.41", 0.9),
        (r"\text{Evelyn.}", 1.0),
        (r"1{,}234", 1.0),
    ],
)
def test_a_decimal_fraction_weighs_less(written: str, expected: float) -> None:
    assert ByExactness().decide(outcome(0, written)).weight == expected


def test_a_decimal_fraction_loses_a_tie_and_no_majority() -> None:
    def leader(*written: str) -> str:
        cast = [outcome(attempt, each) for attempt, each in enumerate(written)]
        return Ballot.cast(cast, ByExactness()).lines[0].answer.key

    assert leader("64.62", "30", "64.62", "30") == "30"
    assert leader("64.62", "30", "64.62") == "64.62"


def test_two_attempts_that_were_cut_do_not_outvote_two_that_were_not() -> None:
    cast = [outcome(0, 3), outcome(1, 4, finished=False), outcome(2, 4, finished=False)]
    assert Ballot.cast(cast, ByFinish(0.4)).lines[0].answer.key == "3"
    assert Ballot.cast([*cast, outcome(3, 4)], ByFinish(0.4)).lines[0].answer.key == "4"


@given(
    st.sampled_from([*WEIGHTS.entries]),
    st.floats(0, 1e300),
    st.integers(0, 10**9),
    st.booleans(),
)
def test_every_weight_is_within_its_bound(
    name: str, score: float, tokens: int, printed: bool
) -> None:
    scores = TokenScores(tokens=1, mean_entropy=score, mean_confidence=score, tail=score)
    seen = outcome(0, 5, tokens=tokens, scores=scores, printed=printed)
    weight = WEIGHTS.make(f"{name}*tool_errors", Context(4, 3)).decide(seen).weight
    assert 0 <= weight <= 1


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("plain", False),
        ("tokens*tool_errors", False),
        ("plain*entropy", True),
        ("tail_confidence", True),
    ],
)
def test_which_weights_need_log_probabilities(text: str, needs: bool) -> None:
    assert needs_scores(WEIGHTS.make(text, Context(4, 3))) is needs


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
def test_scales_out_of_range_are_refused(bad: float) -> None:
    for make in (ByTokens, ByEntropy, lambda cap: ByConfidence(Score.TAIL, cap)):
        with pytest.raises(PolicyError, match="must be finite and above 0"):
            make(bad)
    if bad != 0.0:
        with pytest.raises(PolicyError, match="must be from 0 to 1"):
            ByCodeAgreement(bad)
        with pytest.raises(PolicyError, match="must be from 0 to 1"):
            ByFinish(bad)


@pytest.mark.parametrize(
    ("policy", "answers", "left_s", "review", "reason"),
    [
        (NoReview(), [5], 99, False, RevisionReason.NEVER),
        (ReviewUntilStable(1), [5], 99, True, RevisionReason.NOT_STABLE),
        (ReviewUntilStable(1), [5, 7], 99, False, RevisionReason.ENOUGH),
        (ReviewUntilStable(3), [5, 7], 99, True, RevisionReason.NOT_STABLE),
        (ReviewUntilStable(3), [5, 7, 7], 99, False, RevisionReason.STABLE),
        (ReviewUntilStable(3), [5, 7, 5, 7], 99, False, RevisionReason.ENOUGH),
        (ReviewUntilStable(3), [None], 99, False, RevisionReason.NO_ANSWER),
        (ReviewUntilStable(3), [], 99, False, RevisionReason.NO_ANSWER),
        (ReviewUntilStable(3, least_s=9.0), [5], 8, False, RevisionReason.NO_TIME),
        (ReviewUntilStable(3), [5], math.nan, False, RevisionReason.NO_TIME),
    ],
)
def test_when_an_answer_is_reviewed(
    policy: NoReview | ReviewUntilStable,
    answers: list[int | None],
    left_s: float,
    review: bool,
    reason: RevisionReason,
) -> None:
    given_so_far = [outcome(0, each).answer for each in answers]
    decision = policy.decide(given_so_far, left_s)
    assert (decision.review, decision.reason) == (review, reason)


def test_what_stopping_saved() -> None:
    ended = [outcome(0, 5, tokens=100), outcome(1, 5, tokens=300), outcome(2, 5, tokens=200)]
    ended.append(outcome(3, None, finished=False, tokens=9))
    cut = [outcome(4, None, finished=False, tokens=50), outcome(5, None, tokens=900)]
    assert savings(ended, cut, unlaunched=2) == Savings(2, 2, 150 + 400)
    assert savings([], cut, unlaunched=2) == Savings(2, 2, 0)
