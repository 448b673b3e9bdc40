"""How much an attempt's vote weighs."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from voting.errors import PolicyError
from voting.types import AttemptOutcome

#: What a vote weighs when every tool call of its attempt failed. One half: it takes two such
#: attempts to match a clean one. Failing calls are weak evidence (on 361 recorded attempts at 50
#: problems of tonghuikang/aimo3, floors from 0.1 to 0.75 select alike, and no better than equal
#: votes), so the weight may decide between near-equals and not overturn a clear majority.
DEFAULT_FLOOR = 0.5


class WeightReason(StrEnum):
    """Why a vote weighs what it weighs."""

    #: Every vote weighs one.
    EQUAL = "equal"
    #: The attempt called no tool, which says nothing about its answer.
    NO_TOOL_CALLS = "no_tool_calls"
    #: By the share of the attempt's tool calls that failed.
    TOOL_ERRORS = "tool_errors"
    #: By the number of sampled tokens.
    TOKENS = "tokens"
    #: By a score of the attempt's log-probabilities.
    SCORE = "score"
    #: The score that the policy weighs by is not known of this attempt.
    NO_SCORE = "no_score"
    #: The attempt's code printed the answer.
    PRINTED = "printed"
    #: The attempt's code did not print the answer.
    NOT_PRINTED = "not_printed"
    #: At least one of the attempt's cells ran without an error.
    EXECUTED = "executed"
    #: No cell of the attempt ran without an error.
    NOT_EXECUTED = "not_executed"
    #: The answer is written without a decimal point.
    EXACT = "exact"
    #: The answer is a decimal fraction, most often a rounded one.
    DECIMAL = "decimal"
    #: The attempt came to its own end.
    FINISHED = "finished"
    #: The attempt was cut, and made to answer.
    FORCED = "forced"
    #: By the tokens and tool calls of the attempt.
    EFFORT = "effort"
    #: By the entry of the mix that the attempt was made by.
    ENTRY = "entry"
    #: The product of the decisions in ``parts``.
    PRODUCT = "product"


@dataclass(frozen=True, slots=True)
class WeightDecision:
    """A vote's weight: finite, at least 0, and 1 where nothing speaks for or against it."""

    weight: float
    reason: WeightReason
    parts: tuple["WeightDecision", ...] = ()


class Weight(Protocol):
    """Weighs an attempt's vote by how the attempt went."""

    def decide(self, outcome: AttemptOutcome) -> WeightDecision:
        """Return the weight of the attempt's vote. Raises nothing for a valid outcome."""
        ...


@runtime_checkable
class BoundedWeight(Protocol):
    """A weight that is never above `most`; one that does not say has no known bound."""

    @property
    def most(self) -> float:
        """The most that a vote can weigh."""
        ...


@runtime_checkable
class NeedsScores(Protocol):
    """A policy that may look at log-probabilities: the engine is asked for them if one does."""

    @property
    def needs_scores(self) -> bool:
        """Whether it does."""
        ...


@runtime_checkable
class WeighsEntries(Protocol):
    """A weight that depends on an attempt's place among `entries` of a mix, taken in turn."""

    @property
    def entries(self) -> int:
        """How many there are; 1 where the place makes no difference."""
        ...


def entry_count(weight: Weight) -> int:
    """Return after how many attempts the weight of a place comes again; 1 where none counts."""
    return weight.entries if isinstance(weight, WeighsEntries) else 1


def most_weight(weight: Weight) -> float:
    """Return the most that a policy lets a vote weigh, infinite where it does not say."""
    return weight.most if isinstance(weight, BoundedWeight) else math.inf


def needs_scores(policy: object) -> bool:
    """Return whether a policy of any kind looks at log-probabilities."""
    return isinstance(policy, NeedsScores) and policy.needs_scores


@dataclass(frozen=True, slots=True)
class Plain:
    """Every vote weighs one."""

    @property
    def most(self) -> float:
        """One."""
        return 1.0

    def decide(self, outcome: AttemptOutcome) -> WeightDecision:  # noqa: ARG002
        """Return the weight 1."""
        return WeightDecision(1.0, WeightReason.EQUAL)


@dataclass(frozen=True, slots=True)
class ByToolErrors:
    """A vote weighs less the more of its attempt's tool calls failed.

    The weight is ``1 - (1 - floor) * tool_errors / tool_calls``: 1 where none failed, ``floor``
    where all did, and 1 where the attempt called no tool.

    Raises:
        PolicyError: the floor is not above 0 and at most 1.
    """

    floor: float = DEFAULT_FLOOR

    def __post_init__(self) -> None:
        if not 0 < self.floor <= 1:
            raise PolicyError(
                f"weight floor {self.floor}: must be above 0 and at most 1; "
                f"leave it out for {DEFAULT_FLOOR}"
            )

    @property
    def most(self) -> float:
        """One."""
        return 1.0

    def decide(self, outcome: AttemptOutcome) -> WeightDecision:
        """Return a weight from `floor` to 1."""
        if outcome.tool_calls == 0:
            return WeightDecision(1.0, WeightReason.NO_TOOL_CALLS)
        share = outcome.tool_errors / outcome.tool_calls
        return WeightDecision(1 - (1 - self.floor) * share, WeightReason.TOOL_ERRORS)


@dataclass(frozen=True, slots=True)
class ByEntry:
    """A vote weighs what is known of its attempt's entry in the mix, as of an expert.

    Attempts that are asked differently are right differently often (Littlestone and Warmuth's
    weighted majority, with weights that do not change). Attempt n has the weight offset + n, and
    after the last the first again, as with the entries of a mix.

    Raises:
        PolicyError: a weight is not above 0 and finite, or there is none.
    """

    weights: tuple[float, ...] = (1.0,)
    offset: int = 0

    def __post_init__(self) -> None:
        if not self.weights or not all(0 < weight < math.inf for weight in self.weights):
            raise PolicyError(
                f"weights of entries {self.weights}: must be finite and above 0, at least one; "
                "give one for each entry of the mix"
            )

    @property
    def entries(self) -> int:
        """How many weights there are; 1 where all are equal."""
        return len(self.weights) if len(set(self.weights)) > 1 else 1

    @property
    def most(self) -> float:
        """The greatest."""
        return max(self.weights)

    def decide(self, outcome: AttemptOutcome) -> WeightDecision:
        """Return the weight of the attempt's entry."""
        weight = self.weights[(self.offset + outcome.attempt) % len(self.weights)]
        return WeightDecision(weight, WeightReason.ENTRY)


@dataclass(frozen=True, slots=True)
class Product:
    """The product of other weights; of none, 1."""

    factors: tuple[Weight, ...]

    @property
    def most(self) -> float:
        """The product of the factors' bounds."""
        return float(math.prod(most_weight(factor) for factor in self.factors))

    @property
    def entries(self) -> int:
        """The least number of attempts after which every factor begins anew."""
        return math.lcm(*map(entry_count, self.factors))

    @property
    def needs_scores(self) -> bool:
        """Whether any factor does."""
        return any(needs_scores(factor) for factor in self.factors)

    def decide(self, outcome: AttemptOutcome) -> WeightDecision:
        """Return the product, with the decision of each factor in ``parts``."""
        parts = tuple(factor.decide(outcome) for factor in self.factors)
        weight = math.prod(part.weight for part in parts)
        return WeightDecision(float(weight), WeightReason.PRODUCT, parts)
