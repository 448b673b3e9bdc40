"""Shares of problems with their intervals, also where all problems came out alike."""

import numpy as np
from scipy import stats

from voting.replay.statistics import Estimate, Floats, estimate


def wilson(right: int, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share; `count` is at least 1."""
    found = stats.binomtest(right, count).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def rate(by_problem: Floats, *, seed: int) -> Estimate:
    """Return the mean of values from 0 to 1, shape (problems,), with its interval; NaNs left out.

    Raises:
        ReplayError: no value is a number.
    """
    return widened(estimate(by_problem, seed=seed), int((~np.isnan(by_problem)).sum()))


def widened(one: Estimate, problems: int) -> Estimate:
    """Return an estimate of a share with Wilson's bound where all problems had all or nothing.

    Resampling them would say that there is no doubt at all.
    """
    if one.low < one.high or one.mean not in (0.0, 1.0):
        return one
    low, high = wilson(problems if one.mean else 0, problems)
    return Estimate(one.mean, low if one.mean else 0.0, 1.0 if one.mean else high)
