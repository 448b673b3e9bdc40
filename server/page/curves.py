"""Confidence over an attempt's tokens, as a line of few points."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from client.schema import attempt_name
from server.journal.rows import Float16s
from server.page.store import Scores

#: Points of a line: as many as pixels of a small picture tell apart.
POINTS = 120
#: Size of the picture in its own units.
WIDTH, HEIGHT = 240.0, 40.0

Floats = NDArray[np.float32]


class Measure(StrEnum):
    """What a line shows. Engines that tell no likely tokens leave only the probability."""

    CONFIDENCE = "Confidence"
    """Minus the mean log-probability of the likeliest tokens at a place, in nats."""
    PROBABILITY = "Probability"
    """That of the sampled tokens, by geometric mean, as in perplexity."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Means of a measure at even steps over `count` sampled tokens."""

    values: tuple[float, ...]
    count: int
    of: Measure

    @property
    def points(self) -> str:
        """The line for an SVG `polyline` of `WIDTH` by `HEIGHT`."""
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in self._places())

    @property
    def lowest(self) -> float:
        """The least value."""
        return min(self.values, default=0.0)

    @property
    def mean(self) -> float:
        """The mean of the values."""
        return float(np.mean(self.values)) if self.values else 0.0

    @property
    def told(self) -> str:
        """What the picture shows, in words."""
        unit = " nats" if self.of is Measure.CONFIDENCE else ""
        return f"{self.of}: mean {self.mean:.2f}{unit}, lowest {self.lowest:.2f}"

    def _places(self) -> list[tuple[float, float]]:
        step = WIDTH / max(len(self.values) - 1, 1)
        most = max(1.0, *self.values)
        return [
            (number * step, 2 + (1 - value / most) * (HEIGHT - 4))
            for number, value in enumerate(self.values)
        ]


def curve(scores: Scores) -> Curve | None:
    """Return the line of an attempt; None where the engine told nothing of its tokens.

    It is the confidence where that is known of half the tokens or more.
    """
    confidence, logprobs = _known(scores.confidence), _known(scores.logprobs)
    if len(confidence) and 2 * len(confidence) >= len(logprobs):
        return Curve(_means(confidence), len(confidence), Measure.CONFIDENCE)
    if len(logprobs):
        values = tuple(float(np.exp(min(mean, 0.0))) for mean in _means(logprobs))
        return Curve(values, len(logprobs), Measure.PROBABILITY)
    return None


def label(attempt: int, line: Curve | None) -> str:
    """Return what a lane's picture is called."""
    told = line.told if line else "Confidence: not recorded"
    return f"{attempt_name(attempt).capitalize()}. {told}"


def _known(numbers: Float16s) -> Floats:
    """Return the numbers that are there, in order."""
    whole = numbers.astype(np.float32)
    return whole[np.isfinite(whole)]


def _means(numbers: Floats) -> tuple[float, ...]:
    groups = np.array_split(numbers, min(POINTS, len(numbers)))
    return tuple(float(group.mean()) for group in groups)
