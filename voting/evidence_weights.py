"""Weights by what an attempt left behind: its length, its log-probabilities, what its code did.

On recorded attempts of gpt-oss-120b, entropy tells right from wrong with an AUC of .69 and the
token count with .81, the latter confounded with the problem's difficulty, which a ballot is free
of. Every weight here is bounded, so that `CannotBeOvertaken` can reckon with votes to come, and 1
or the middle of its range where the attempt lacks what it looks at.
"""

import math
import re
from dataclasses import dataclass
from enum import StrEnum

from voting.errors import PolicyError
from voting.types import AttemptOutcome
from voting.weights import WeightDecision, WeightReason

#: The token count at which a vote weighs one half: wrong attempts of the recorded runs are longer
#: than right ones, whose median is of this order.
DEFAULT_HALF_TOKENS = 16_384
#: Below this mean entropy (nats) attempts do not differ: the published inverse-entropy weight is
#: 1 / max(entropy, 0.1).
DEFAULT_ENTROPY_FLOOR = 0.1
#: Confidences are held against this, in nats. DeepConf's traces, with the 20 likeliest tokens, have
#: group confidences of about 10 to 20.
DEFAULT_CONFIDENCE_CAP = 20.0
#: What a vote weighs that evidence of the code does not speak for: see `DEFAULT_FLOOR`.
DEFAULT_UNPRINTED = 0.5
#: What a vote for a decimal fraction weighs: it loses a tie, and never against one vote less.
DEFAULT_DECIMAL = 0.9
#: What the vote of an attempt weighs that a limit cut and that was then made to answer.
DEFAULT_FORCED = 0.5

_DECIMAL = re.compile(r"\.[0-9]")


class Score(StrEnum):
    """The confidence scores of `TokenScores`, by their fields' names."""

    MEAN = "mean_confidence"
    LOWEST_GROUP = "lowest_group"
    BOTTOM_TENTH = "bottom_tenth"
    TAIL = "tail"


@dataclass(frozen=True, slots=True)
class ByTokens:
    """A vote weighs less the longer its attempt is: one half at `half` tokens.

    The weight is ``half / (half + tokens)``.

    Raises:
        PolicyError: `half` is not above 0 and finite.
    """

    half: float = DEFAULT_HALF_TOKENS

    def __post_init__(self) -> None:
        _require_positive("token count", self.half)

    @property
    def most(self) -> float:
        """One."""
        return 1.0

    def decide(self, outcome: AttemptOutcome) -> WeightDecision:
        """Return a weight from above 0 to 1."""
        return WeightDecision(self.half / (self.half + outcome.tokens), WeightReason.TOKENS)


@dataclass(frozen=True, slots=True)
class ByEntropy:
    """A vote weighs less the more uncertain its attempt's tokens were.

    The weight is ``floor / max(mean_entropy, floor)``: 1 up to an entropy of `floor` nats, and
    inverse to it from there. Without log-probabilities it is 1 for every vote.

    Raises:
        PolicyError: the floor is not above 0 and finite.
    """

    floor: float = DEFAULT_ENTROPY_FLOOR

    def __post_init__(self) -> None:
        _require_positive("entropy", self.floor)

    @property
    def most(self) -> float:
        """One."""
        return 1.0

    @property
    def needs_scores(self) -> bool:
        """Yes."""
        return True

    def decide(self, outcome: AttemptOutcome) -> WeightDecision:
        """Return a weight from above 0 to 1."""
        entropy = outcome.scores.mean_entropy if outcome.scores is not None else None
        if entropy is None:
            return WeightDecision(1.0, WeightReason.NO_SCORE)
        return WeightDecision(self.floor / max(entropy, self.floor), WeightReason.SCORE)


@dataclass(frozen=True, slots=True)
class ByConfidence:
    """A vote weighs in proportion to one of its attempt's DeepConf scores.

    The weight is ``min(score, cap) / cap``; one half where the score is not known.

    Raises:
        PolicyError: the cap is not above 0 and finite.
    """

    score: Score
    cap: float = DEFAULT_CONFIDENCE_CAP

    def __post_init__(self) -> None:
        _require_positive("confidence cap", self.cap)

    @property
    def most(self) -> float:
        """One."""
        return 1.0

    @property
    def needs_scores(self) -> bool:
        """Yes."""
        return True

    def decide(self, outcome: AttemptOutcome) -> WeightDecision:
        """Return a weight from 0 to 1."""
        score: float | None = getattr(outcome.scores, self.score.value, None)
        if score is None:
            return WeightDecision(0.5, WeightReason.NO_SCORE)
        return WeightDecision(min(score, self.cap) / self.cap, WeightReason.SCORE)


@dataclass(frozen=True, slots=True)
class _OneOrLess:
    """A weight that is 1 where the evidence is there, else `otherwise`."""

    otherwise: float

    def __post_init__(self) -> None:
        _require_share(self.otherwise)

    @property
    def most(self) -> float:
        """One."""
        return 1.0


@dataclass(frozen=True, slots=True)
class ByCodeAgreement(_OneOrLess):
    """A vote weighs 1 if the attempt's code printed the answer, else `otherwise`.

    An attempt without code weighs `otherwise` too: nothing has confirmed its answer.

    Raises:
        PolicyError: `otherwise` is not from 0 to 1.
    """

    otherwise: float = DEFAULT_UNPRINTED

    def decide(self, outcome: AttemptOutcome) -> WeightDecision:
        """Return 1 or `otherwise`."""
        if outcome.printed:
            return WeightDecision(1.0, WeightReason.PRINTED)
        return WeightDecision(self.otherwise, WeightReason.NOT_PRINTED)


@dataclass(frozen=True, slots=True)
class ExecutionFilter(_OneOrLess):
    """A vote counts if at least one cell of its attempt ran without an error; else `otherwise`.

    Where no attempt has such a cell all votes weigh alike, so an answer is still chosen.

    Raises:
        PolicyError: `otherwise` is not from 0 to 1.
    """

    otherwise: float = 0.0

    def decide(self, outcome: AttemptOutcome) -> WeightDecision:
        """Return 1 or `otherwise`."""
        if outcome.tool_calls > outcome.tool_errors:
            return WeightDecision(1.0, WeightReason.EXECUTED)
        return WeightDecision(self.otherwise, WeightReason.NOT_EXECUTED)


@dataclass(frozen=True, slots=True)
class ByExactness(_OneOrLess):
    """A vote for an answer that has a decimal point weighs `otherwise`.

    Answers of olympiads are exact: a decimal fraction is most often what an attempt rounded. In
    contest mode, where answers are integers, all votes weigh 1.

    Raises:
        PolicyError: `otherwise` is not from 0 to 1.
    """

    otherwise: float = DEFAULT_DECIMAL

    def decide(self, outcome: AttemptOutcome) -> WeightDecision:
        """Return 1 or `otherwise`."""
        if outcome.answer is not None and _DECIMAL.search(outcome.answer.key):
            return WeightDecision(self.otherwise, WeightReason.DECIMAL)
        return WeightDecision(1.0, WeightReason.EXACT)


@dataclass(frozen=True, slots=True)
class ByFinish(_OneOrLess):
    """A vote weighs `otherwise` where its attempt did not come to its own end.

    An attempt that fell into a loop, or used up its tokens or its turns, and was then asked for its
    answer, guesses.

    Raises:
        PolicyError: `otherwise` is not from 0 to 1.
    """

    otherwise: float = DEFAULT_FORCED

    def decide(self, outcome: AttemptOutcome) -> WeightDecision:
        """Return 1 or `otherwise`."""
        if outcome.finished:
            return WeightDecision(1.0, WeightReason.FINISHED)
        return WeightDecision(self.otherwise, WeightReason.FORCED)


def _require_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise PolicyError(f"{name} {value}: must be finite and above 0; leave it out for ours")


def _require_share(value: float) -> None:
    if not 0 <= value <= 1:
        raise PolicyError(f"weight {value}: must be from 0 to 1; leave it out for ours")
