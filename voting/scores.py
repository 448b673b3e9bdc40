"""What the log-probabilities of an attempt's sampled tokens say about it."""

import math
from dataclasses import dataclass, fields

from voting.errors import OutcomeError


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenScores:
    """Scores of an attempt's sampled tokens over all its turns; None where they are not known.

    ``tokens`` is how many tokens were scored. ``mean_entropy`` is in nats a token. The others are
    DeepConf's (arXiv 2508.15260) in nats: a token's confidence is minus the mean log-probability of
    the k likeliest tokens at its place, so a high one is a confident one; a *group* is the mean
    over a sliding window. ``lowest_group`` is the least of all groups, ``bottom_tenth`` the mean of
    the lowest tenth of them, ``tail`` the mean of the last window's tokens.

    Raises:
        OutcomeError: a score is negative, infinite or not a number.
    """

    tokens: int = 0
    mean_entropy: float | None = None
    mean_confidence: float | None = None
    lowest_group: float | None = None
    bottom_tenth: float | None = None
    tail: float | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            score = getattr(self, each.name)
            if score is not None and not 0 <= score < math.inf:
                raise OutcomeError(
                    f"{each.name} {score}: must be finite and at least 0; "
                    "leave a score that is not known out"
                )
