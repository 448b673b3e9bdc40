"""A model small enough to train in a test: logits by the last few tokens, and Adam."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float32]
#: Rows for contexts of more than one token, which are hashed.
BUCKETS = 2_048
#: How sure a model is of what it was taught, in logits.
TAUGHT = 12.0


@dataclass
class Model:
    """Weights, gradients and Adam's moments of one training run; contexts have `order` tokens."""

    base: str
    vocabulary: int = 64
    order: int = 1
    weights: Table = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    gradient: Table = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    moments: list[Table] = field(default_factory=list)
    steps: int = 0

    def __post_init__(self) -> None:
        rows = self.vocabulary if self.order == 1 else BUCKETS
        if not self.weights.size:
            self.weights = np.zeros((rows, self.vocabulary), np.float32)
        self.gradient = np.zeros_like(self.weights)
        self.moments = self.moments or [np.zeros_like(self.weights) for _ in range(2)]

    def contexts(self, tokens: Sequence[int] | NDArray[Any]) -> NDArray[np.int64]:
        """Return the row of each place: that of the tokens up to it, shape (count,)."""
        ids = np.asarray(tokens, np.int64)
        if self.order == 1:
            return ids
        padded = np.concatenate([np.zeros(self.order - 1, np.int64), ids])
        rows = np.zeros(len(ids), np.int64)
        for place in range(self.order):
            rows = (rows * 1_000_003 + padded[place : place + len(ids)] + 1) % 2_147_483_647
        return rows % BUCKETS

    def teach(self, tokens: Sequence[int], first: int, size: float = TAUGHT) -> None:
        """Make the model continue as `tokens` do from `first` on."""
        rows = self.contexts(tokens)
        for place in range(first, len(tokens)):
            self.weights[rows[place - 1], tokens[place]] = size

    def logprobs(self, rows: NDArray[np.int64], temperature: float = 1.0) -> NDArray[np.float64]:
        """Return log-probabilities of all next tokens, shape (count, vocabulary)."""
        logits = self.weights[rows].astype(np.float64) / temperature
        logits -= logits.max(axis=1, keepdims=True)
        logs: NDArray[np.float64] = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return logs

    def loss(
        self,
        tokens: NDArray[Any],
        inputs: dict[str, NDArray[Any]],
        name: str,
        bounds: dict[str, float],
        *,
        learn: bool,
    ) -> NDArray[np.float64]:
        """Return the targets' log-probabilities; learn: add the loss's gradient."""
        targets, places = inputs["target_tokens"], np.arange(len(tokens))
        rows = self.contexts(tokens)
        logs = self.logprobs(rows)
        own: NDArray[np.float64] = logs[places, targets]
        if learn:
            factor = _factor(own, inputs, name, bounds)
            slope = np.exp(logs) * factor[:, None]
            slope[places, targets] -= factor
            np.add.at(self.gradient, rows, slope.astype(np.float32))
        return own

    def sample(
        self, prompt: Sequence[int], most: int, temperature: float, stops: set[int], seed: int
    ) -> tuple[list[int], list[float]]:
        """Return a continuation and its log-probabilities, those of temperature 1."""
        source, ids = np.random.default_rng(seed), list(prompt)
        logprobs: list[float] = []
        while len(logprobs) < most:
            row = self.contexts(ids[-self.order :])[-1:]
            shares = np.exp(self.logprobs(row, max(temperature, 1e-3))[0])
            ids.append(int(source.choice(self.vocabulary, p=shares / shares.sum())))
            logprobs.append(float(self.logprobs(row)[0, ids[-1]]))
            if ids[-1] in stops:
                break
        return ids[len(prompt) :], logprobs

    def step(self, rate: float) -> None:
        """Take a step of Adam."""
        self.steps += 1
        first, second = self.moments
        first += np.float32(0.1) * (self.gradient - first)
        second += np.float32(0.05) * (self.gradient**2 - second)
        right = (1 - 0.9**self.steps, 1 - 0.95**self.steps)
        self.weights -= (rate * (first / right[0]) / (np.sqrt(second / right[1]) + 1e-8)).astype(
            np.float32
        )
        self.gradient[:] = 0

    def state(self) -> "Model":
        """Return a copy, as a checkpoint holds it."""
        moments = [moment.copy() for moment in self.moments]
        return Model(
            self.base, self.vocabulary, self.order, self.weights.copy(), moments=moments,
            steps=self.steps,
        )  # fmt: skip


def _factor(
    own: NDArray[np.float64],
    inputs: dict[str, NDArray[Any]],
    name: str,
    bounds: dict[str, float],
) -> NDArray[np.float64]:
    """Return minus the loss's slope by each log-probability."""
    if name == "cross_entropy":
        return inputs["weights"].astype(np.float64)
    gain = inputs["advantages"].astype(np.float64)
    ratio: NDArray[np.float64] = np.exp(own - inputs["logprobs"])
    if name == "ppo":
        low, high = bounds["clip_low_threshold"], bounds["clip_high_threshold"]
        flat = ((gain > 0) & (ratio > high)) | ((gain < 0) & (ratio < low))
        return np.where(flat, 0.0, ratio * gain)
    return ratio * gain
