"""How far the errors of a problem's attempts go together.

Over all problems together attempts agree because problems differ: hard ones fail them all. That is
difficulty, measured by the intraclass correlation. Given the problem, attempts are independent
draws; what is left to measure is whether wrong ones share an answer, which is what defeats a vote.
A correlation of residuals within problems would come out near -1/(n-1) whatever the model does, as
residuals of n attempts add up to 0; so none is given.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.evaluation.statistics.rates import rate
from voting.replay.statistics import Estimate

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ErrorCorrelation:
    """``intraclass`` is the ANOVA estimate of how alike the attempts of one problem are in being
    right: 0 where problems are equally hard, 1 where each has all of its attempts right or none.

    ``collision`` is the probability that two wrong answers of one problem are the same one, over
    problems with two or more wrong answers (``colliding``): an unbiased count of pairs by problem,
    with its interval; None where there is no such problem. ``effective`` is to how many independent
    wrong answers that comes (1 / collision).
    """

    intraclass: float
    collision: Estimate | None
    colliding: int

    @property
    def effective(self) -> float:
        """How many equally likely wrong answers would collide as often."""
        if self.collision is None or self.collision.mean <= 0:
            return float("inf")
        return 1 / self.collision.mean


def error_correlation(
    right: Sequence[Sequence[bool]], wrong: Sequence[Sequence[str]], *, seed: int
) -> ErrorCorrelation:
    """Return how errors go together; ``right`` by problem and attempt, ``wrong`` answers' keys."""
    collisions = np.array([_collision(keys) for keys in wrong if len(keys) > 1], np.float64)
    collision = rate(collisions, seed=seed) if len(collisions) else None
    return ErrorCorrelation(intraclass(right), collision, len(collisions))


def intraclass(right: Sequence[Sequence[bool]]) -> float:
    """Return the one-way ANOVA intraclass correlation of 0 and 1; NaN where it is not defined.

    It is not with fewer than two problems of two attempts, or where all attempts are alike.
    """
    groups = [np.array(each, np.float64) for each in right if len(each) > 1]
    sizes = np.array([len(group) for group in groups], np.float64)
    if len(groups) < 2:
        return float("nan")
    total = sizes.sum()
    grand = sum(group.sum() for group in groups) / total
    between = sum(len(g) * (g.mean() - grand) ** 2 for g in groups) / (len(groups) - 1)
    within = sum(((g - g.mean()) ** 2).sum() for g in groups) / (total - len(groups))
    typical = (total - (sizes**2).sum() / total) / (len(groups) - 1)
    whole = between + (typical - 1) * within
    return float((between - within) / whole) if whole > 0 else float("nan")


def _collision(keys: Sequence[str]) -> float:
    counts = Counter(keys).values()
    return sum(c * (c - 1) for c in counts) / (len(keys) * (len(keys) - 1))
