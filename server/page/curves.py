"""Confidence over an attempt's tokens, as a line of few points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from server.page.store import TokenPiece

#: Points of a line: as many as pixels of a small picture tell apart.
POINTS = 120
#: Size of the picture in its own units.
WIDTH, HEIGHT = 240.0, 40.0


@dataclass(frozen=True, slots=True)
class Curve:
    """Values from 0 to 1 at even steps over `count` sampled tokens; `of` says what they are."""

    values: tuple[float, ...]
    count: int
    of: str

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

    def _places(self) -> list[tuple[float, float]]:
        step = WIDTH / max(len(self.values) - 1, 1)
        return [
            (number * step, 2 + (1 - value) * (HEIGHT - 4))
            for number, value in enumerate(self.values)
        ]


def curve(pieces: Sequence[TokenPiece]) -> Curve | None:
    """Return the line of an attempt; None where the engine gave no log-probabilities.

    It is the mean probability of the tokens that were sampled, by geometric mean, as in perplexity.
    """
    arrays = [
        piece.logprobs.astype(np.float32)
        for piece in pieces
        if piece.kind == "sampled" and piece.logprobs is not None
    ]
    if not arrays:
        return None
    whole = np.concatenate(arrays)
    whole = whole[np.isfinite(whole)]
    if not len(whole):
        return None
    groups = np.array_split(whole, min(POINTS, len(whole)))
    values = tuple(float(np.exp(min(group.mean(), 0.0))) for group in groups)
    return Curve(values, len(whole), "probability")
