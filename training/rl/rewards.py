"""What an attempt earns, and how much better than its group that is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.schema import AttemptEnd
from training.corpus.rules import NOT_ITS_OWN, reward_of
from training.rl.recipe import RlRecipe
from training.traces.read import to_trace

#: Rewards that differ by less are the same: they are sums of a few decimal fractions.
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Judged:
    """An attempt and what it earned; `row` is as a journal's export has it.

    `right` where that is known. The reward is None where nobody can tell: arithmetic leaves open
    whether its answer equals the right one.
    """

    row: dict[str, Any]
    right: bool
    boxed: bool
    reward: float | None

    @property
    def sampled(self) -> int:
        """How many ids the model sampled."""
        return sum(self.row["mask"])


def judge(row: dict[str, Any], recipe: RlRecipe) -> Judged:
    """Return what an attempt earned.

    A forced answer may be right, but the box was not the model's: it earns nothing for that.
    """
    verdict = reward_of(to_trace(row))
    boxed = row["end"] == AttemptEnd.ANSWERED and row["answer"] is not None
    if verdict is None:
        return Judged(row, False, boxed, None)
    reward = (recipe.right if verdict == 1 else recipe.wrong) + (recipe.boxed if boxed else 0.0)
    return Judged(row, verdict == 1, boxed, reward)


def unusable(row: dict[str, Any]) -> str:
    """Return why an attempt cannot be learnt from; empty: it can."""
    if row["end"] in NOT_ITS_OWN:
        return str(row["end"])
    if not row["complete"]:
        return "tokens are missing"
    if not any(row["mask"]):
        return "nothing was sampled: its mask is all zero"
    known = zip(row["mask"], row["logprobs"], strict=True)
    if any(own and (logprob is None or not math.isfinite(logprob)) for own, logprob in known):
        return "log-probabilities are missing"
    return ""


def advantages(rewards: Sequence[float | None], *, normalise: bool) -> NDArray[np.float64]:
    """Return how much better than its group each attempt is; zeros where all earned the same.

    One that is not judged has zero, and does not count among the others.
    """
    values = np.array(rewards, np.float64)  # None is no number
    known = values[~np.isnan(values)]
    if len(known) < 2 or np.ptp(known) < _SAME:
        return np.zeros(len(values))
    centred: NDArray[np.float64] = np.nan_to_num(values - known.mean())
    return centred / known.std() if normalise else centred
