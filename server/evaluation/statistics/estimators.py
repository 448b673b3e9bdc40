"""Unbiased estimates from n attempts of what k of them would have come to.

pass@k is Chen et al.'s estimator (arXiv 2107.03374). maj@k is exact too: over all subsets of k of
the n attempts, counted and not drawn, as far as their number fits a float.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import comb

import numpy as np

#: An attempt's vote: the key of its answer, None where it has none.
Vote = str | None
#: The number of subsets of more attempts than this may not fit a float: then so many are drawn.
MOST_COUNTED = 1_000
DRAWN = 4_000


def pass_at_k(attempts: int, right: int, k: int) -> float:
    """Return the probability that of k attempts, drawn without replacement, one is right.

    NaN where fewer than k attempts are recorded.
    """
    if k > attempts:
        return float("nan")
    return 1.0 - comb(attempts - right, k) / comb(attempts, k)


def majority_at_k(votes: Sequence[Vote], right: Iterable[str], k: int) -> float:
    """Return the probability that of k attempts, drawn without replacement, most votes are right.

    Equal counts share the credit: as attempts are exchangeable, which of them came first is chance.
    An attempt without an answer has no vote and takes a place. ``right`` are the keys that are.
    NaN where fewer than k attempts are recorded.
    """
    if k > len(votes):
        return float("nan")
    counts = Counter(votes)
    silent = counts.pop(None, 0)
    right_keys = set(right) & set(counts)
    if not right_keys:
        return 0.0
    if k == len(votes):
        leaders = [key for key, count in counts.items() if count == max(counts.values())]
        return len(right_keys & set(leaders)) / len(leaders)
    if len(votes) > MOST_COUNTED:
        return _drawn(votes, right_keys, k)
    won = 0.0
    for key in right_keys:
        others = [count for other, count in counts.items() if other != key]
        for mine in range(1, min(counts[key], k) + 1):
            ways = _ways(others, silent, mine, k - mine)
            won += comb(counts[key], mine) * ways
    return won / comb(len(votes), k)


def _ways(others: Sequence[int], silent: int, most: int, size: int) -> float:
    """Return in how many ways the others give `size` attempts, none above `most`, ties shared.

    A way in which t others reach `most` counts for 1 / (t + 1).
    """
    # Those with fewer than `most` cannot reach it: any of them may be taken, as the silent may.
    free = silent + sum(count for count in others if count < most)
    # table[ties, taken] is the number of ways so far.
    table = np.zeros((size // most + 1, size + 1))
    table[0, 0] = 1.0
    for count in others:
        if count < most:
            continue
        grown = np.zeros_like(table)
        for one in range(min(most, size + 1)):
            grown[:, one:] += comb(count, one) * table[:, : size + 1 - one]
        if most <= size:
            grown[1:, most:] += comb(count, most) * table[:-1, : size + 1 - most]
        table = grown
    rest = np.array([float(comb(free, size - taken)) for taken in range(size + 1)])
    shares = table @ rest / np.arange(1, len(table) + 1)
    return float(shares.sum())


def _drawn(votes: Sequence[Vote], right: Iterable[str], k: int) -> float:
    """Return the same over subsets that are drawn, the same ones each time."""
    keys = {
        key: place for place, key in enumerate(dict.fromkeys(v for v in votes if v is not None))
    }
    told = np.array([-1 if vote is None else keys[vote] for vote in votes])
    good = np.zeros(len(keys), bool)
    good[[keys[key] for key in right]] = True
    random = np.random.default_rng(0)
    won = 0.0
    for _ in range(DRAWN):
        drawn = random.choice(told, k, replace=False)
        counts = np.bincount(drawn[drawn >= 0], minlength=len(keys))
        if counts.max(initial=0):
            won += float(good[counts == counts.max()].mean())
    return won / DRAWN
