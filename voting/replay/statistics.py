"""Means with bootstrap intervals; what is resampled are problems, for they differ most."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voting.errors import ReplayError

Floats = NDArray[np.float64]

DEFAULT_RESAMPLES = 2_000
#: Of the interval: the middle 95 % of the resamples.
TAILS = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with the 95 % bootstrap interval of it; the interval is the mean where it has one."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """One policy minus another, paired: the same problems, the same attempts in the same order.

    ``better`` is the share of resamples in which the difference is above 0.
    """

    difference: Estimate
    better: float


def estimate(by_problem: Floats, *, seed: int, resamples: int = DEFAULT_RESAMPLES) -> Estimate:
    """Return the mean over problems, shape (problems,), with its interval; NaNs are left out.

    Raises:
        ReplayError: no value is a number.
    """
    values = _numbers(by_problem)
    means = _resampled_means(values, seed, resamples)
    low, high = np.percentile(means, TAILS)
    return Estimate(float(values.mean()), float(low), float(high))


def compare(
    one: Floats, other: Floats, *, seed: int, resamples: int = DEFAULT_RESAMPLES
) -> Comparison:
    """Compare two policies problem by problem, both of shape (problems,).

    Raises:
        ReplayError: the shapes differ, or no difference is a number.
    """
    if one.shape != other.shape:
        raise ReplayError(
            f"comparison of {len(one)} with {len(other)} problems: must be the same ones; "
            "evaluate both policies together"
        )
    differences = _numbers(one - other)
    means = _resampled_means(differences, seed, resamples)
    low, high = np.percentile(means, TAILS)
    interval = Estimate(float(differences.mean()), float(low), float(high))
    return Comparison(interval, float((means > 0).mean()))


def two_run_score(first: Floats, second: Floats) -> Floats:
    """Return the score of two runs by problem: 1 where both are right, 0.5 where one is, else 0.

    Both have 1 where right and 0 where not, of one shape. The expected score of two independent
    runs is their mean accuracy; what two runs add is that one accident costs half.
    """
    scores: Floats = (first + second) / 2
    return scores


def _numbers(values: Floats) -> Floats:
    kept: Floats = values[~np.isnan(values)]
    if not len(kept):
        raise ReplayError("mean of 0 problems: must be at least 1; no problem has what is asked")
    return kept


def _resampled_means(values: Floats, seed: int, resamples: int) -> Floats:
    chosen = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    means: Floats = values[chosen].mean(axis=1)
    return means
