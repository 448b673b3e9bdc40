"""Unbiased estimates from n attempts of what k of them would have come to.

pass@k is Chen et al.'s estimator (arXiv 2107.03374). maj@k is exact too: over all subsets of k of
the n attempts, counted by dynamic programming and not drawn.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import comb

#: An attempt's vote: the key of its answer, None where it has none.
Vote = str | None


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
    right_keys = set(right)
    won = 0.0
    for key in right_keys & set(counts):
        others = [count for other, count in counts.items() if other != key]
        for mine in range(1, min(counts[key], k) + 1):
            ways = _ways(others, silent, mine, k - mine)
            won += comb(counts[key], mine) * ways
    return won / comb(len(votes), k)


def _ways(others: Sequence[int], silent: int, most: int, size: int) -> float:
    """Return in how many ways the others give `size` attempts, none above `most`, ties shared.

    A way in which t others reach `most` counts for 1 / (t + 1).
    """
    # table[ties][taken] is the number of ways so far.
    table = [[0] * (size + 1) for _ in range(size // most + 1)]
    table[0][0] = 1
    for count in others:
        grown = [[0] * (size + 1) for _ in table]
        for ties, row in enumerate(table):
            for taken, ways in enumerate(row):
                if not ways:
                    continue
                for one in range(min(count, most, size - taken) + 1):
                    grown[ties + (one == most)][taken + one] += ways * comb(count, one)
        table = grown
    total = 0.0
    for ties, row in enumerate(table):
        ways = sum(
            number * comb(silent, size - taken)
            for taken, number in enumerate(row)
            if number and size - taken <= silent
        )
        total += ways / (ties + 1)
    return total
