"""The contest's score of two runs: 1 point where both are right, 0.5 where one is."""

import math
from dataclasses import dataclass

from voting.replay.statistics import Floats

#: Of the normal distribution: what is within so many deviations is the middle 95 %.
REACH = 1.959964


@dataclass(frozen=True, slots=True)
class TwoRuns:
    """What two runs of a set score: the mean, the deviation, and the middle 95 % of pairs."""

    mean: float
    deviation: float
    low: float
    high: float
    problems: int


def two_runs(rates: Floats, deviation: float) -> TwoRuns:
    """Return what two independent runs score.

    ``rates`` is each problem's chance in one run, shape (problems,), ``deviation`` that of one
    run's score (`Power`). The mean is that of one run's: the second one only halves what an
    accident costs or wins. A sum over problems is nearly normal; scores are whole and half points.
    """
    mean, problems = float(rates.sum()), len(rates)
    of_two = deviation / math.sqrt(2)
    low, high = (round(2 * (mean + side * REACH * of_two)) / 2 for side in (-1, 1))
    return TwoRuns(mean, of_two, max(0.0, low), min(float(problems), high), problems)
