"""Whether two runs differ: on the same problems, and how many runs it would take to see."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from server.evaluation.errors import NothingRecorded
from server.evaluation.statistics.rates import wilson
from voting.replay.statistics import Comparison, Floats, compare

#: Problems up to which all sign flips are tried (2^14 of them); above, so many are drawn.
EXACT_PROBLEMS = 14
DRAWN_FLIPS = 20_000
#: Signs in memory at a time: 128 MB.
MOST_SIGNS = 1 << 24
#: A difference that rounding makes is none.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
    """One run against another.

    ``comparison`` is the mean difference by problem with its interval. ``permutation`` is
    the two-sided p-value of flipping signs by problem; ``mcnemar`` the exact one of the problems
    that only one of them has right (``gained`` and ``lost``), NaN where values are not 0 or 1.
    """

    comparison: Comparison
    permutation: float
    mcnemar: float
    gained: int
    lost: int
    problems: int


def paired_test(one: Floats, other: Floats, *, seed: int) -> PairedTest:
    """Compare values by problem, both of shape (problems,), problem by problem.

    Raises:
        NothingRecorded: there is no problem.
        ReplayError: the shapes differ.
    """
    if not len(one):
        raise NothingRecorded(
            "comparison of 0 problems: must have at least 1 in common; evaluate the same set"
        )
    comparison = compare(one, other, seed=seed)
    differences = one - other
    binary = bool(np.isin(one, (0.0, 1.0)).all() and np.isin(other, (0.0, 1.0)).all())
    gained, lost = int((differences > ROUNDING).sum()), int((differences < -ROUNDING).sum())
    mcnemar = math.nan
    if binary:
        discordant = gained + lost
        mcnemar = float(stats.binomtest(gained, discordant).pvalue) if discordant else 1.0
    return PairedTest(
        comparison=comparison, permutation=permutation_p(differences, seed=seed), mcnemar=mcnemar,
        gained=gained, lost=lost, problems=len(one),
    )  # fmt: skip


def permutation_p(differences: Floats, *, seed: int) -> float:
    """Return the two-sided p-value of the mean difference when each sign could be the other.

    Exact up to `EXACT_PROBLEMS` problems that differ; above, drawn, and never 0.
    """
    values = differences[np.abs(differences) > ROUNDING]
    count = len(values)
    if not count:
        return 1.0
    observed = abs(float(values.sum())) - ROUNDING
    if count <= EXACT_PROBLEMS:
        bits = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
        return float((np.abs((1 - 2 * bits) @ values) >= observed).mean())
    random, extreme = np.random.default_rng(seed), 0
    at_once = max(1, MOST_SIGNS // count)
    for first in range(0, DRAWN_FLIPS, at_once):
        flips = random.choice((-1.0, 1.0), (min(at_once, DRAWN_FLIPS - first), count))
        extreme += int((np.abs(flips @ values) >= observed).sum())
    return (extreme + 1) / (DRAWN_FLIPS + 1)


@dataclass(frozen=True, slots=True)
class Power:
    """What a run of this set can show.

    ``deviation`` is the standard deviation of one run's score in problems, by chance of sampling
    alone: the problems stay the same. ``runs`` is how many runs on each side it takes to see a
    difference of ``points`` problems, at significance ``alpha`` with probability ``power``. With
    ``at_most`` no attempts of any problem differed, and both are the most that this leaves open.
    """

    deviation: float
    points: float
    runs: int
    alpha: float
    power: float
    at_most: bool = False


def power(variances: Floats, points: float, *, alpha: float = 0.05, wanted: float = 0.8) -> Power:
    """Return how many runs it takes to see a difference of so many problems.

    ``variances`` are of whether a run has each problem right (`run_variance`), shape (problems,). A
    two-sided comparison of means; both sides have this variance.

    Raises:
        NothingRecorded: no variance is known.
    """
    known = variances[~np.isnan(variances)]
    if not len(known) or points <= 0:
        raise NothingRecorded(
            f"power for {points:g} points over {len(known)} problems: must be above 0 points and "
            "at least 1 problem; give both"
        )
    variance = float(known.sum())
    # Two draws of a problem differ with twice its variance, and none of so many pairs did.
    most = wilson(0, len(known))[1] * len(known) / 2
    deviation = math.sqrt(variance or most)
    spread = float(stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(wanted))
    runs = max(1, math.ceil(2 * (spread * deviation / points) ** 2))
    return Power(deviation, points, runs, alpha, wanted, at_most=not variance)
