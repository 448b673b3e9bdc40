"""How much what a problem comes to varies by chance of sampling alone, without bias.

The share p of right attempts is known from few of them, and p(1 - p) of it is too small: by a half
with two attempts, and nothing with one. Two draws that share no attempt are independent: that the
first is right and the second wrong has the probability p(1 - p), whatever the draws are.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from server.evaluation.statistics.estimators import Vote
from voting.replay.statistics import Floats

#: Pairs of draws of a problem. Fifty problems' deviation is then within about 2 % of that of all.
PAIRS = 400


def run_variance(votes: Sequence[Vote], right: Iterable[str], k: int) -> float:
    """Return the unbiased variance of whether most of k votes are right, of equal counts by lot.

    For k = 1 exact: n / (n - 1) p(1 - p). Else the mean over pairs of k attempts each without one
    in common, drawn by the same seed each time. NaN where fewer than 2 k attempts are recorded.
    """
    count, keys = len(votes), set(right)
    if count < 2 * k:
        return float("nan")
    if k == 1:
        share = sum(vote in keys for vote in votes) / count
        return count / (count - 1) * share * (1 - share)
    orders = np.random.default_rng(0).permuted(np.tile(np.arange(count), (PAIRS, 1)), axis=1)
    one, other = (_won(votes, keys, orders[:, part]) for part in (np.s_[:k], np.s_[k : 2 * k]))
    return float((one * (1 - other) + other * (1 - one)).mean() / 2)


def _won(votes: Sequence[Vote], right: set[str], drawn: np.ndarray[tuple[int, int]]) -> Floats:
    """Return the chance that each draw, a row of attempts, votes right; equal counts share it."""
    keys = [key for key in dict.fromkeys(votes) if key is not None]
    if not keys:
        return np.zeros(len(drawn))
    place = {key: number for number, key in enumerate(keys)}
    cast = np.array([len(keys) if vote is None else place[vote] for vote in votes])[drawn]
    # A column more for attempts without an answer, which lead nothing.
    width = len(keys) + 1
    cells = cast + width * np.arange(len(drawn))[:, None]
    counts = np.bincount(cells.ravel(), minlength=width * len(drawn)).reshape(-1, width)[:, :-1]
    leading = (counts == counts.max(axis=1, keepdims=True)) & (counts > 0)
    good = np.array([key in right for key in keys])
    shared: Floats = (leading & good).sum(axis=1) / np.maximum(1, leading.sum(axis=1))
    return shared
