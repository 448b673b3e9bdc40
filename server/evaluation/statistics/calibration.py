"""Whether confidence means what it says."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from voting.replay.statistics import Estimate, estimate

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

    Equal confidences share a bin, so that there may be fewer bins.
    """
    order = np.argsort(confidence, kind="stable")
    claimed, held = confidence[order], right[order]
    edges = [claimed[min(len(claimed) - 1, len(claimed) * n // bins)] for n in range(1, bins)]
    places = np.searchsorted(np.unique(edges), claimed, side="left")
    filled = []
    for place in np.unique(places):
        chosen = places == place
        filled.append(
            Bin(float(claimed[chosen].mean()), float(held[chosen].mean()), int(chosen.sum()))
        )
    error = sum(b.count * abs(b.confidence - b.accuracy) for b in filled) / max(1, len(claimed))
    brier = float(((claimed - held) ** 2).mean()) if len(claimed) else float("nan")
    return Calibration(error, brier, auc(claimed, held), tuple(filled))


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
    return (estimate(known, seed=seed) if len(known) else None), len(known)
