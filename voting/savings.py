"""What an early end saved: attempts cut, and the tokens that they would have sampled yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from voting.types import AttemptOutcome


@dataclass(frozen=True, slots=True)
class Savings:
    """Attempts that were cut while they ran, attempts never launched, and tokens not sampled.

    ``tokens`` is an estimate: had they run, each would have had as many as the median of the
    attempts that came to their own end, or as it had already where that is more. It is 0 where none
    came to its own end.
    """

    cut: int
    unlaunched: int
    tokens: int


def savings(
    ended: Sequence[AttemptOutcome], cut: Sequence[AttemptOutcome], unlaunched: int = 0
) -> Savings:
    """Return what ending attempts early saved.

    `ended` are attempts that were not cut, whole or not; `cut` are those that were, as far as they
    had come; `unlaunched` is how many were never started.
    """
    whole = [outcome.tokens for outcome in ended if outcome.finished]
    typical = round(median(whole)) if whole else 0
    tokens = sum(max(0, typical - outcome.tokens) for outcome in cut) + unlaunched * typical
    return Savings(len(cut), unlaunched, tokens)
