"""Means and differences with intervals by problem, for problems differ most."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from voting.errors import ReplayError

Floats = NDArray[np.float64]

DEFAULT_RESAMPLES = 2_000
#: Of the interval: the middle 95 % of the resamples.
TAILS = (2.5, 97.5)
#: Of the way to the end of what is possible: as good as none, and more than rounding.
NEAR = 1e-9


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with the 95 % bootstrap interval of it; the interval is the mean where it has one."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """One policy minus another, paired: the same problems, the same attempts in the same order.

    ``difference`` has the interval of `paired_interval`. ``better`` is the share of bootstrap
    resamples in which the difference is above 0.
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
    return Comparison(paired_interval(one, other), float((means > 0).mean()))


def paired_interval(one: Floats, other: Floats) -> Estimate:
    """Return the mean difference by problem, both of shape (problems,), with its 95 % interval.

    Where all values are 0 or 1 that is Tango's score interval, which stands with few problems that
    differ or none (Tango 1998). Else it is Student's, with two problems more: one with the largest
    difference seen either way, or a whole one where no shares differ, as none has been seen that
    may be there (the two of Agresti and Min 2005, whose values are 0 and 1).

    Raises:
        ReplayError: no difference is a number.
    """
    known = ~np.isnan(one - other)
    one, other = one[known], other[known]
    differences = _numbers(one - other)
    mean = float(differences.mean())
    if _all_in(one, other, (0.0, 1.0)):
        gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
        return Estimate(mean, *tango(gained, lost, len(differences)))
    shares = bool(min(one.min(), other.min()) >= 0 and max(one.max(), other.max()) <= 1)
    largest = float(np.abs(differences).max()) or float(shares)
    low, high = _student(np.append(differences, (largest, -largest)))
    if shares:
        low, high = max(-1.0, low), min(1.0, high)
    return Estimate(mean, min(mean, low), max(mean, high))


def tango(gained: int, lost: int, problems: int) -> tuple[float, float]:
    """Return the 95 % score interval of (gained - lost) / problems, of paired right and wrong.

    A difference d is in it where the one found is within 1.96 of its deviations of d, the share of
    problems that are lost being the likeliest under d (Tango 1998, Statistics in Medicine 17).
    """
    found, critical = (gained - lost) / problems, float(stats.norm.ppf(0.975))

    def beyond(difference: float) -> float:
        linear = (2 * problems - gained + lost) * difference - gained - lost
        product = 8 * problems * lost * difference * (1 - difference)
        lost_share = (math.sqrt(max(0.0, linear**2 + product)) - linear) / (4 * problems)
        variance = max(0.0, 2 * lost_share + difference * (1 - difference)) / problems
        return (found - difference) ** 2 - critical**2 * variance

    low, high = (_bound(beyond, found, end) for end in (-1.0, 1.0))
    return low, high


def _bound(beyond: Callable[[float], float], found: float, end: float) -> float:
    """Return where differences from the one found to an end begin to be beyond."""
    # Where no problem differs the deviation of the difference found is 0; next to it it is not.
    near = found + (end - found) * NEAR
    if near == end or beyond(end) <= 0:
        return end
    return float(optimize.brentq(beyond, near, end))


def _student(values: Floats) -> tuple[float, float]:
    reach = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean() - reach), float(values.mean() + reach)


def _all_in(one: Floats, other: Floats, values: tuple[float, ...]) -> bool:
    return bool(np.isin(one, values).all() and np.isin(other, values).all())


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
