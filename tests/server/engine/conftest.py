"""The tiny model that real llama.cpp serves, and its vocabulary; they do not change."""

from pathlib import Path

import pytest

from server.vocabulary import Vocabulary
from tests.server.engine.tiny_llama import write_tiny_llama


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of the tiny model."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.gguf"
    write_tiny_llama(path)
    return path


@pytest.fixture(scope="session")
def tiny_vocabulary(tiny_path: Path) -> Vocabulary:
    """Return the tiny model's vocabulary."""
    return Vocabulary.load(tiny_path)
