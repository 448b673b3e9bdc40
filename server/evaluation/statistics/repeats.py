"""One problem solved again and again: how often, how long, and whether two series differ."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from server.evaluation.statistics.rates import wilson
from voting.replay.statistics import Estimate


@dataclass(frozen=True, slots=True)
class Series:
    """``solved`` of ``count`` solves, and the wall seconds of each."""

    solved: int
    seconds: Sequence[float]

    @property
    def count(self) -> int:
        """How many solves there are."""
        return len(self.seconds)

    @property
    def share(self) -> Estimate:
        """The share that was solved, with Wilson's interval."""
        if not self.count:
            return Estimate(math.nan, math.nan, math.nan)
        return Estimate(self.solved / self.count, *wilson(self.solved, self.count))

    @property
    def median_s(self) -> float:
        """The median of the wall seconds; NaN for none."""
        return float(np.median(self.seconds)) if self.count else math.nan


@dataclass(frozen=True, slots=True)
class Change:
    """The second series against the first: p-values, two-sided.

    ``solved`` is Fisher's exact test of how many were solved, ``seconds`` the rank test of Mann and
    Whitney of how long they took; NaN where a series is empty.
    """

    solved: float
    seconds: float


def change(before: Series, after: Series) -> Change:
    """Return whether two series of solves of one problem differ by more than chance."""
    if not before.count or not after.count:
        return Change(math.nan, math.nan)
    table = [[one.solved, one.count - one.solved] for one in (before, after)]
    solved = float(stats.fisher_exact(table).pvalue)
    if len({*before.seconds, *after.seconds}) == 1:
        return Change(solved, 1.0)
    seconds = float(stats.mannwhitneyu(before.seconds, after.seconds).pvalue)
    return Change(solved, seconds)
