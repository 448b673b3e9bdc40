"""Figures of rollouts, of a step of learning, and of an evaluation."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import RolloutsFailed
from training.rl.policy import Rollout
from training.rl.rollouts import Group


def rollout_figures(groups: Sequence[Group]) -> dict[str, Any]:
    """Return the figures of a step's attempts.

    Raises:
        RolloutsFailed: none of them can be learnt from.
    """
    attempts = [each for group in groups for each in group.attempts]
    left_out = sum((group.left_out for group in groups), Counter[str]())
    if not attempts:
        told = ", ".join(f"{count} times {reason}" for reason, count in left_out.most_common())
        raise RolloutsFailed(
            f"no attempt of {left_out.total()} can be learnt from: {told or 'none was made'}; see "
            "the gateway's log, then run the same command again"
        )
    rewards = [each.reward for each in attempts if each.reward is not None] or [math.nan]
    return {
        "reward/mean": float(np.mean(rewards)), "reward/deviation": float(np.std(rewards)),
        "train/accuracy": _share(each.right for each in attempts),
        "train/boxed_rate": _share(each.boxed for each in attempts),
        "train/avg_completion_length": float(np.mean([each.sampled for each in attempts])),
        "train/tool_calls": float(np.mean([each.row["tool_calls"] for each in attempts])),
        "num_groups": len(groups), "num_attempts": len(attempts),
        "num_groups_without_signal": sum(not any(group.advantages) for group in groups),
        "num_left_out": left_out.total(),
        "num_not_judged": sum(each.reward is None for each in attempts),
    }  # fmt: skip


def learning_figures(
    rollouts: Sequence[Rollout], logprobs: Sequence[NDArray[np.float64]]
) -> dict[str, Any]:
    """Return the figures of what was learnt from; `logprobs` are the trainer's, shape (count - 1,).

    `kl_sample_train` is the mean of sampling minus training log-probability: far from 0, the
    weights that sample are not those that learn.
    """
    if not rollouts:
        return {"num_sequences": 0, "num_loss_tokens": 0}
    apart = np.concatenate(
        [
            (each.logprobs[1:] - trained)[each.mask[1:] == 1]
            for each, trained in zip(rollouts, logprobs, strict=True)
        ]
    )
    own = np.concatenate([each.logprobs[1:][each.mask[1:] == 1] for each in rollouts])
    return {
        "num_sequences": len(rollouts),
        "num_loss_tokens": int(sum(each.mask[1:].sum() for each in rollouts)),
        "kl_sample_train": float(apart.mean()), "entropy": float(-own.mean()),
    }  # fmt: skip


def evaluation_figures(groups: Sequence[Group]) -> dict[str, Any]:
    """Return the figures of an evaluation; an attempt that failed is a wrong one.

    Raises:
        RolloutsFailed: none of the attempts can be judged.
    """
    figures = rollout_figures(groups)
    attempts = figures["num_attempts"] + figures["num_left_out"]
    judged = figures["num_attempts"] / attempts
    return {
        "eval/accuracy": figures["train/accuracy"] * judged,
        "eval/boxed_rate": figures["train/boxed_rate"] * judged,
        "eval/avg_completion_length": figures["train/avg_completion_length"],
        "eval/problems": len(groups), "eval/attempts": attempts,
    }  # fmt: skip


def _share(values: Any) -> float:  # noqa: ANN401 - an iterable of truth values
    return float(np.mean([float(value) for value in values]))
