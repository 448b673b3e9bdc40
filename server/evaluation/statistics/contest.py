"""The contest's score of two runs: 1 point where both are right, 0.5 where one is."""

import math
from dataclasses import dataclass

import numpy as np

from voting.replay.statistics import Floats

#: Pairs of runs that are drawn for quantiles.
DRAWN = 20_000
#: Numbers in memory at a time: 128 MB.
MOST_NUMBERS = 1 << 24


@dataclass(frozen=True, slots=True)
class TwoRuns:
    """What two runs of a set score: the mean, the deviation, and the middle 95 % of pairs."""

    mean: float
    deviation: float
    low: float
    high: float
    problems: int


def two_runs(rates: Floats, *, seed: int) -> TwoRuns:
    """Return what two independent runs score; ``rates`` is each problem's chance in one run.

    The mean is that of one run's: the second one only halves what an accident costs or wins.
    """
    known = rates[~np.isnan(rates)]
    random = np.random.default_rng(seed)
    at_once = max(1, MOST_NUMBERS // (2 * max(1, len(known))))
    scores = [
        (random.random((2, min(at_once, DRAWN - first), len(known))) < known).mean(0).sum(1)
        for first in range(0, DRAWN, at_once)
    ]
    low, high = np.percentile(np.concatenate(scores), (2.5, 97.5))
    deviation = math.sqrt(float((known * (1 - known)).sum()) / 2)
    return TwoRuns(float(known.sum()), deviation, float(low), float(high), len(known))
