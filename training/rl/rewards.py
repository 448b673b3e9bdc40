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
    """An attempt and what it earned; `row` is as a journal's export has it."""

    row: dict[str, Any]
    right: bool
    boxed: bool
    reward: float

    @property
    def sampled(self) -> int:
        """How many ids the model sampled."""
        return sum(self.row["mask"])


def judge(row: dict[str, Any], recipe: RlRecipe) -> Judged:
    """Return what an attempt earned.

    A forced answer may be right, but the box was not the model's: it earns nothing for that.
    """
    right = reward_of(to_trace(row)) == 1
    boxed = row["end"] == AttemptEnd.ANSWERED and row["answer"] is not None
    reward = (recipe.right if right else recipe.wrong) + (recipe.boxed if boxed else 0.0)
    return Judged(row, right, boxed, reward)


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


def advantages(rewards: Sequence[float], *, normalise: bool) -> NDArray[np.float64]:
    """Return how much better than its group each attempt is; zeros where all earned the same."""
    values = np.asarray(rewards, np.float64)
    if len(values) < 2 or np.ptp(values) < _SAME:
        return np.zeros(len(values))
    centred: NDArray[np.float64] = values - values.mean()
    return centred / values.std() if normalise else centred
