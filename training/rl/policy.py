"""What reinforcement learning trains: something that samples, and something that learns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.rl.recipe import RlRecipe
from training.traces.trace import Ids, Mask


@dataclass(frozen=True, slots=True)
class Asked:
    """A continuation that is asked for; it ends after any of `stop_ids`."""

    prompt: tuple[int, ...]
    max_tokens: int
    temperature: float
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    stop_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Sampled:
    """A continuation: its ids, and the log-probability of each."""

    ids: list[int]
    logprobs: list[float]


class Sampler(Protocol):
    """A policy at one time. Its methods block, and are called from several threads."""

    def sample(self, asked: Asked) -> Sampled:
        """Return a continuation of at least one id.

        Raises:
            TrainingError: it cannot be had.
        """
        ...

    def score(self, ids: Sequence[int]) -> list[float | None]:
        """Return the log-probability of each id given those before it; the first has none."""
        ...


@dataclass(frozen=True, slots=True)
class Rollout:
    """An attempt to learn from; all arrays have shape (count,).

    `logprobs` are those with which the ids were sampled, 0 where the mask is. `advantage` holds for
    each sampled id.
    """

    ids: Ids
    mask: Mask
    logprobs: NDArray[np.float32]
    advantage: float


class Learner(Protocol):
    """A policy that learns; its methods block.

    All of them raise `TrainingError` when the service or the library behind fails.
    """

    def sampler(self) -> Sampler:
        """Return the policy as it is now."""
        ...

    def learn(
        self, rollouts: Sequence[Rollout], rate: float, recipe: RlRecipe
    ) -> list[NDArray[np.float64]]:
        """Take one step; return each rollout's log-probabilities before it, shape (count - 1,)."""
        ...

    def save(self, name: str) -> dict[str, str]:
        """Save a checkpoint; return its `state_path` and `sampler_path`."""
        ...
