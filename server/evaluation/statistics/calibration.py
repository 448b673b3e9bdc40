"""Whether confidence means what it says."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from server.evaluation.statistics.rates import rate
from voting.replay.statistics import Estimate

Floats = NDArray[np.float64]
DEFAULT_BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Of what was claimed with about this confidence: how often it held, of how many."""

    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """``error`` is the expected calibration error over bins of equal counts, ``brier`` the mean
    squared error, ``auc`` the probability that a right one is more confident than a wrong one (NaN
    where there is only one kind)."""

    error: float
    brier: float
    auc: float
    bins: tuple[Bin, ...]


def calibration(confidence: Floats, right: Floats, bins: int = DEFAULT_BINS) -> Calibration:
    """Return how well confidences from 0 to 1 foretell what is right, both of shape (claims,).

    Bins are of equal ranks. Equal confidences share a bin, the one of their middle rank, so that
    there may be fewer bins. Without claims there are none, and every figure is NaN.
    """
    if not len(confidence):
        return Calibration(float("nan"), float("nan"), float("nan"), ())
    # Ranks are from 1 to the number of claims: the middle of the first one's place is one half.
    middles = stats.rankdata(confidence) - 0.5
    places = np.floor(middles * bins / len(confidence))
    filled = []
    for place in np.unique(places):
        chosen = places == place
        filled.append(
            Bin(float(confidence[chosen].mean()), float(right[chosen].mean()), int(chosen.sum()))
        )
    error = sum(b.count * abs(b.confidence - b.accuracy) for b in filled) / len(confidence)
    brier = float(((confidence - right) ** 2).mean())
    return Calibration(error, brier, auc(confidence, right), tuple(filled))


def auc(scores: Floats, right: Floats) -> float:
    """Return the probability that a right one scores above a wrong one, ties for half."""
    ones, zeros = scores[right > 0.5], scores[right <= 0.5]
    if not len(ones) or not len(zeros):
        return float("nan")
    ranks = stats.rankdata(np.concatenate([ones, zeros]))
    above = ranks[: len(ones)].sum() - len(ones) * (len(ones) + 1) / 2
    return float(above / (len(ones) * len(zeros)))


def auc_within(
    scores: Sequence[Floats], right: Sequence[Floats], *, seed: int
) -> tuple[Estimate | None, int]:
    """Return the same within problems: pairs of one problem's attempts, averaged over problems.

    Pooled over problems a score looks good that only tells easy problems from hard ones. The second
    value is how many problems have right and wrong attempts; None where none has.
    """
    values = [auc(s, r) for s, r in zip(scores, right, strict=True)]
    known = np.array([value for value in values if not np.isnan(value)])
    return (rate(known, seed=seed) if len(known) else None), len(known)
