"""Whether to end a running attempt that is not worth its tokens."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from voting.errors import PolicyError
from voting.types import AttemptOutcome, AttemptProgress

#: DeepConf's warm-up: this many whole attempts set the bar (arXiv 2508.15260, section 3.3).
DEFAULT_WARM_UP = 16
#: The gentler of DeepConf's two published settings: the bar is passed by 90 % of the warm-up.
DEFAULT_KEEP_FRACTION = 0.9
#: A fraction in decimals times a count may be more than a whole number by its last digits.
ROUNDING = 1e-9


class PruneReason(StrEnum):
    """Why an attempt goes on, or is ended."""

    #: The policy ends no attempt.
    NEVER = "never"
    #: Too few attempts have ended to set a bar.
    WARMING_UP = "warming_up"
    #: The attempt has no whole window of tokens yet, or no log-probabilities.
    NO_SCORE = "no_score"
    #: The attempt's last window is at or above the bar.
    CONFIDENT = "confident"
    #: The attempt's last window is under the bar: it is ended.
    NOT_CONFIDENT = "not_confident"


@dataclass(frozen=True, slots=True)
class PruneDecision:
    """Whether to end the attempt; ``bar`` is what its score was held against, if anything."""

    end: bool
    reason: PruneReason
    bar: float | None = None


class Prune(Protocol):
    """Decides, while an attempt runs, whether to end it without an answer."""

    def decide(self, progress: AttemptProgress, ended: Sequence[AttemptOutcome]) -> PruneDecision:
        """Return whether to end the attempt.

        `ended` are the outcomes of the solve's attempts that have ended, in any order. Asked often:
        takes time linear in `ended`. Raises nothing.
        """
        ...


@dataclass(frozen=True, slots=True)
class KeepAll:
    """End no attempt."""

    def decide(
        self,
        progress: AttemptProgress,  # noqa: ARG002
        ended: Sequence[AttemptOutcome],  # noqa: ARG002
    ) -> PruneDecision:
        """Return that the attempt goes on."""
        return PruneDecision(end=False, reason=PruneReason.NEVER)


@dataclass(frozen=True, slots=True)
class GroupConfidence:
    """DeepConf online: end an attempt once a window of its tokens falls under a bar.

    The first `warm_up` attempts that came to their own end set the bar: the highest one that a
    fraction `keep_fraction` of them passes with their lowest group. An attempt of the warm-up is
    never ended, for it has ended.

    Raises:
        PolicyError: `keep_fraction` is not above 0 and at most 1, or `warm_up` is below 1.
    """

    keep_fraction: float = DEFAULT_KEEP_FRACTION
    warm_up: int = DEFAULT_WARM_UP

    def __post_init__(self) -> None:
        if not 0 < self.keep_fraction <= 1:
            raise PolicyError(
                f"keep_fraction {self.keep_fraction}: must be above 0 and at most 1; give the "
                "share of attempts that may live"
            )
        if self.warm_up < 1:
            raise PolicyError(
                f"warm_up {self.warm_up}: must be at least 1; give the number of attempts that "
                "set the bar"
            )

    @property
    def needs_scores(self) -> bool:
        """Whether the engine must give log-probabilities."""
        return True

    def decide(self, progress: AttemptProgress, ended: Sequence[AttemptOutcome]) -> PruneDecision:
        """Return whether the attempt's last window is under the bar."""
        if progress.group_confidence is None:
            return PruneDecision(end=False, reason=PruneReason.NO_SCORE)
        bar = self.bar(ended)
        if bar is None:
            return PruneDecision(end=False, reason=PruneReason.WARMING_UP)
        if progress.group_confidence < bar:
            return PruneDecision(end=True, reason=PruneReason.NOT_CONFIDENT, bar=bar)
        return PruneDecision(end=False, reason=PruneReason.CONFIDENT, bar=bar)

    def bar(self, ended: Sequence[AttemptOutcome]) -> float | None:
        """Return the least group confidence that lets an attempt live; None while warming up."""
        whole = [
            (outcome.ended_s, outcome.attempt, outcome.scores.lowest_group)
            for outcome in ended
            if outcome.finished
            and outcome.scores is not None
            and outcome.scores.lowest_group is not None
        ]
        if len(whole) < self.warm_up:
            return None
        lowest = sorted((score for _, _, score in sorted(whole)[: self.warm_up]), reverse=True)
        return lowest[max(math.ceil(self.keep_fraction * self.warm_up - ROUNDING), 1) - 1]
