"""Shares of problems with their intervals, also where all problems came out alike."""

import math

import numpy as np
from scipy import stats

from voting.replay.statistics import Estimate, Floats, estimate


def wilson(right: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share (Wilson 1927); `count` is at least 1.

    ``right`` need not be whole: problems may be right in a share of their attempts.
    """
    square = float(stats.norm.ppf(0.975)) ** 2
    share = right / count
    middle = (share + square / (2 * count)) / (1 + square / count)
    spread = share * (1 - share) / count + square / (4 * count**2)
    reach = math.sqrt(square * spread) / (1 + square / count)
    return max(0.0, min(share, middle - reach)), min(1.0, max(share, middle + reach))


def rate(by_problem: Floats, *, seed: int) -> Estimate:
    """Return the mean of values from 0 to 1, shape (problems,), with its interval; NaNs left out.

    Raises:
        ReplayError: no value is a number.
    """
    return widened(estimate(by_problem, seed=seed), int((~np.isnan(by_problem)).sum()))


def widened(one: Estimate, problems: int) -> Estimate:
    """Return an estimate of a share with Wilson's interval where all problems came out alike.

    Resampling them, or the only one there is, would say that there is no doubt at all.
    """
    if one.low < one.high:
        return one
    return Estimate(one.mean, *wilson(one.mean * problems, problems))
