"""Scores an attempt's sampled tokens as they come, in constant time a token.

One meter belongs to one attempt and lives over all its turns: what is appended between them (tool
results) is not sampled and does not enter, so that a window may begin in one turn and end in
another.
"""

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

from voting.errors import PolicyError
from voting.scores import TokenScores

#: DeepConf's sliding window, in tokens (arXiv 2508.15260, section 3.1).
DEFAULT_WINDOW = 2048
#: The share of groups that "bottom 10 %" means.
BOTTOM_SHARE = 0.1
#: Log-probabilities are not believed under this, in nats: e^-100 is less than any model resolves,
#: and one minus infinity would spoil every mean.
LEAST_LOGPROB = -100.0


def token_confidence(top_logprobs: Iterable[float]) -> float | None:
    """Return the confidence of one token as a meter takes it, in nats; None: it has none."""
    known = [
        0.0 if given > 0.0 else max(given, LEAST_LOGPROB)
        for given in top_logprobs
        if not math.isnan(given)
    ]
    return -sum(known) / len(known) if known else None


@dataclass(slots=True)
class ConfidenceMeter:
    """Running scores of one attempt's sampled tokens.

    A *group* is the mean confidence of the last `window` tokens. As long as there are fewer, the
    only group is that of all tokens. Memory is eight bytes a token for the groups and for the
    window.

    Raises:
        PolicyError: the window is below 1.
    """

    window: int = DEFAULT_WINDOW
    tokens: int = 0
    _ring: "array[float]" = field(default_factory=lambda: array("d"))
    _groups: "array[float]" = field(default_factory=lambda: array("d"))
    _window_sum: float = 0.0
    _confidence_sum: float = 0.0
    _entropy_sum: float = 0.0

    def __post_init__(self) -> None:
        if self.window < 1:
            raise PolicyError(f"window {self.window}: must be at least 1; give it in tokens")

    def push(self, top_logprobs: Iterable[float]) -> float | None:
        """Take one sampled token: the natural-log probabilities of the likeliest at its place.

        Returns its confidence. A token without any that is a number is left out; it has none.
        """
        # One plain loop: this runs for every token of every attempt.
        count, total, known, rest, exp = 0, 0.0, 0.0, 1.0, math.exp
        for given in top_logprobs:
            if given != given:  # noqa: PLR0124 - not a number
                continue
            logprob = given if LEAST_LOGPROB < given < 0.0 else min(max(given, LEAST_LOGPROB), 0.0)
            share = exp(logprob)
            count += 1
            total -= logprob
            known -= logprob * share
            rest -= share
        if not count:
            return None
        confidence = total / count
        self._slide(confidence)
        self.tokens += 1
        self._confidence_sum += confidence
        # The entropy in nats of these tokens and of all others taken as one.
        self._entropy_sum += max(0.0, known - (rest * math.log(rest) if rest > 0 else 0.0))
        if self.tokens >= self.window:
            self._groups.append(max(0.0, self._window_sum / self.window))
        return confidence

    @property
    def group_confidence(self) -> float | None:
        """The mean confidence of the last whole window; None before there is one."""
        return self._groups[-1] if self._groups else None

    def scores(self) -> TokenScores:
        """Return the scores so far. Takes time n log n in the tokens: for the attempt's end."""
        if not self.tokens:
            return TokenScores()
        partial = max(0.0, self._window_sum / min(self.tokens, self.window))
        groups = sorted(self._groups) or [partial]
        bottom = groups[: max(1, round(BOTTOM_SHARE * len(groups)))]
        return TokenScores(
            tokens=self.tokens,
            mean_entropy=self._entropy_sum / self.tokens,
            mean_confidence=self._confidence_sum / self.tokens,
            lowest_group=groups[0],
            bottom_tenth=math.fsum(bottom) / len(bottom),
            tail=partial,
        )

    def _slide(self, confidence: float) -> None:
        """Move the window one token on."""
        place = self.tokens % self.window
        if self.tokens < self.window:
            self._ring.append(confidence)
            self._window_sum += confidence
            return
        self._window_sum += confidence - self._ring[place]
        self._ring[place] = confidence
        if place == self.window - 1:
            # Once a window the sum is made anew: rounding never adds up, and the cost a token
            # stays constant.
            self._window_sum = math.fsum(self._ring)
