"""How much token lists have in common, and which of many have much in common: MinHash.

A sketch is the least hashes of a list's shingles (Broder, On the resemblance and containment of
documents, 1997): of the hashes that stand in either of two sketches, the share that stands in both
is that of the lists' shingles, nearly. `Neighbours` finds the pairs by locality-sensitive hashing
(Leskovec et al., Mining of Massive Datasets, chapter 3): some least values of a sketch make a band,
and only lists that have a band in common are compared.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.traces.trace import Ids

#: Ids of a shingle: about a line of text.
SHINGLE = 16
#: Hashes kept of each list; the share of common ones is then right to about 3 %.
SKETCH = 256
#: Values from which bands are made, and the chance to miss a pair that has `least` in common.
_VALUES, _MISSED = 128, 0.002
#: Lists that another is compared with: those that have most bands in common with it.
_MOST_COMPARED = 64
#: Sketches at work at a time: 8 MB.
_PIECE = 4_096
#: Odd numbers whose multiples spread: those of splitmix64.
_GOLDEN, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)

Sketch = NDArray[np.uint32]


def sketch(ids: Ids, length: int = SHINGLE) -> Sketch:
    """Return the least hashes of a list's shingles, sorted; fewer where there are fewer.

    A list that is shorter than a shingle is one.
    """
    if not len(ids):
        return np.empty(0, np.uint32)
    length = min(length, len(ids))
    windows = len(ids) - length + 1
    hashes = np.zeros(windows, np.uint64)
    for place in range(length):
        hashes = hashes * _GOLDEN + ids[place : place + windows]
    hashes ^= hashes >> np.uint64(29)
    hashes *= _MIX  # the finaliser of splitmix64 spreads near sums
    short = (hashes >> np.uint64(32)).astype(np.uint32)
    return np.unique(np.partition(short, SKETCH)[:SKETCH] if windows > SKETCH else short)


def overlap(one: Sketch, other: Sketch) -> float:
    """Return the estimated share of shingles that two lists have in common, 0 to 1."""
    union = np.union1d(one, other)[:SKETCH]
    if not len(union):
        return 0.0
    common = np.isin(union, one) & np.isin(union, other)
    return float(common.mean())


class Neighbours:
    """Lists that were taken, and what another one has in common with them.

    Pairs with `least` or more in common are found, but for about one in a hundred at that bound and
    fewer above it. Each list takes 8 bytes a band, 0.2 to 1 KB, beside its sketch of 1 KB.
    """

    def __init__(self, sketches: Sequence[Sketch], least: float) -> None:
        self._sketches = sketches
        self._groups = _groups(sketches, rows_of(least))
        self._taken: dict[int, list[int]] = defaultdict(list)

    def nearest(self, number: int) -> tuple[float, int | None]:
        """Return the most that a list has in common with a taken one, and which; 0 and None."""
        groups = self._groups[number]
        near = Counter(
            each for group in groups[groups >= 0].tolist() for each in self._taken.get(group, ())
        )
        own = self._sketches[number]
        found = [
            (overlap(own, self._sketches[each]), -each)
            for each, _ in near.most_common(_MOST_COMPARED)
        ]
        most, which = max(found, default=(0.0, 1))
        return most, None if which > 0 else -which

    def take(self, number: int) -> None:
        """Take a list."""
        groups = self._groups[number]
        for group in groups[groups >= 0].tolist():
            self._taken[group].append(number)


def rows_of(least: float) -> int:
    """Return how many values a band has: the most with which a pair is still hardly missed."""
    rows = 1
    while (1 - least ** (rows + 1)) ** (_VALUES // (rows + 1)) <= _MISSED:
        rows += 1
        if rows == _VALUES:
            break
    return rows


def _groups(sketches: Sequence[Sketch], rows: int) -> NDArray[np.int32]:
    """Return the group of each list in each band, shape (lists, bands); -1: alone in it."""
    hashes = _bands(sketches, rows)
    groups = np.full(hashes.shape, -1, np.int32)
    known = 0
    for band in range(hashes.shape[1]):
        _, inverse, counts = np.unique(hashes[:, band], return_inverse=True, return_counts=True)
        together = counts > 1
        names = np.where(together, np.cumsum(together) - 1 + known, -1)
        groups[:, band] = names[inverse]
        known += int(together.sum())
    groups[[not len(each) for each in sketches]] = -1
    return groups


def _bands(sketches: Sequence[Sketch], rows: int) -> NDArray[np.uint32]:
    """Return a hash of each band of each list, shape (lists, bands).

    A band's are the least values of the sketch under `rows` permutations of all hashes.
    """
    bands = _VALUES // rows
    hashes = np.empty((len(sketches), bands), np.uint32)
    for first in range(0, len(sketches), _PIECE):
        matrix = _matrix(sketches[first : first + _PIECE])
        for band in range(bands):
            mixed = np.zeros(len(matrix), np.uint64)
            for value in range(band * rows, (band + 1) * rows):
                mixed = mixed * _MIX + _permuted(matrix, value).min(axis=1)
            hashes[first : first + _PIECE, band] = mixed >> np.uint64(32)
    return hashes


def _matrix(sketches: Sequence[Sketch]) -> NDArray[np.uint64]:
    matrix = np.zeros((len(sketches), SKETCH), np.uint64)
    for place, each in enumerate(sketches):
        if len(each):  # what stands there twice changes no least value
            matrix[place] = np.resize(each, SKETCH)
    return matrix


def _permuted(hashes: NDArray[np.uint64], which: int) -> NDArray[np.uint64]:
    odd = np.uint64(int(_GOLDEN) * (2 * which + 1) % 2**64)
    spread = (hashes + np.uint64(1)) * odd
    spread = (spread ^ (spread >> np.uint64(31))) * _MIX
    return spread >> np.uint64(16)
