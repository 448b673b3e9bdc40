"""What a run came to."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

#: Names in the run's folder: what it came to, and each example's log-probability.
RESULT, BEFORE, AFTER = "result.json", "logprobs-before.json", "logprobs-after.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to.

    Log-probabilities are means over the trained ids, of the trained and of the held-out examples
    (left out where none is held out), before the first step and after the last.
    """

    learning_rate: float
    steps: int
    state_path: str
    sampler_path: str
    before: dict[str, float]
    after: dict[str, float]


def means(path: Path) -> dict[str, float]:
    """Return the mean log-probability of each kind of example in a file of them."""
    rows = orjson.loads(path.read_bytes())
    means = {}
    for kind in ("trained", "held_out"):
        values = [row["logprob"] for row in rows if row["kind"] == kind]
        if values:
            means[kind] = float(np.mean(values))
    return means
