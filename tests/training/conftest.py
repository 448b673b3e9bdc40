"""The server that training asks, and a corpus to train on."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.docs.gateway import running_gateway
from tests.training.test_corpus import row, write
from training.corpus.build import build
from training.corpus.rules import Rules


@pytest.fixture(scope="package")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One real gateway with a scripted model and real kernels for all of training's tests."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as served:
        yield served


@pytest.fixture(scope="package")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve traces in which each id is followed by itself plus three."""
    folder = tmp_path_factory.mktemp("corpus")
    source = np.random.default_rng(0)
    rows = []
    for number in range(12):
        first = int(source.integers(10, 40))
        ids = [(first + 3 * step) % 60 for step in range(20)]
        made = row(f"p{number}", ids, [1] * 10 + [0] * 5 + [1] * 5)
        made["ids"][0] = number  # each problem has a prompt of its own
        rows.append(made)
    build([write(folder / "traces.jsonl", rows)], folder / "corpus", Rules())
    return folder / "corpus"
