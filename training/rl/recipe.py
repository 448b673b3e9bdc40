"""A recipe of reinforcement learning."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class RlRecipe(BaseModel):
    """How to train by rewards. Lengths are in tokens; a held-out problem is never trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["rl"]
    rank: int = Field(32, ge=1)
    learning_rate: Positive = 1e-6
    decay: bool = Field(False, description="The learning rate falls to zero in a line.")
    problems: int = Field(8, ge=1, description="Problems of a step, a group of attempts each.")
    group: int = Field(16, ge=2, le=256, description="Attempts of a problem.")
    epochs: int = Field(1, ge=1)
    temperature: Positive = 0.7
    loss: Literal["importance_sampling", "ppo"] = "importance_sampling"
    clip_low: float = Field(0.8, gt=0, le=1, description="Least ratio of ppo that is not cut.")
    clip_high: float = Field(1.2, ge=1, description="Largest ratio of ppo that is not cut.")
    substeps: int = Field(1, ge=1, description="Optimiser steps that a step's attempts make.")
    right: Finite = 1.0
    wrong: Finite = -0.5
    boxed: Finite = Field(0.1, description="Added where the model boxed an answer by itself.")
    normalise: bool = Field(False, description="Advantages are divided by the group's deviation.")
    max_tokens: int = Field(8_192, ge=1, description="Most sampled tokens of an attempt.")
    context: int = Field(16_384, ge=512, description="Most tokens of an attempt in all.")
    max_turns: int = Field(16, ge=1, le=1_000)
    time_limit_s: float = Field(3_600.0, gt=0, le=86_400, description="Of a group.")
    chunk: int = Field(512, ge=1, description="Tokens that are sampled before code is looked for.")
    held_out: float = Field(0.1, ge=0, lt=1, description="Share of the problems.")
    evaluate_every: int = Field(10, ge=1, description="Steps between evaluations.")
    evaluated: int = Field(64, ge=1, description="Held-out problems of an evaluation, at most.")
    evaluation_attempts: int = Field(1, ge=1, le=256, description="Of each held-out problem.")
    samples: float = Field(0.1, ge=0, le=1, description="Share of the groups whose texts are kept.")
    save_every: int = Field(10, ge=1, description="Steps between checkpoints.")
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.95, ge=0, lt=1)
    epsilon: Positive = 1e-8
    seed: int = Field(0, ge=0)
