"""Vocabularies that every test here can share: they do not change."""

from collections.abc import Callable
from pathlib import Path

import pytest

from server.vocabulary import Vocabulary
from tests.server.vocabulary import tiny_models

PRE_NAMES = ("qwen2", "deepseek-r1-qwen", "llama-bpe", "gpt-2", "gpt-4o")


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the path of a tiny model whose `tokenizer.ggml.pre` is the given name."""
    folder = tmp_path_factory.mktemp("gguf")

    def path_of(pre: str) -> Path:
        path = folder / f"{pre}.gguf"
        if not path.exists():
            path.write_bytes(tiny_models.gguf_bytes(tiny_models.train(pre), pre))
        return path

    return path_of


@pytest.fixture(scope="session", params=["gguf", "byte-level json", "byte-fallback json"])
def vocabulary(
    request: pytest.FixtureRequest,
    tiny_gguf: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Vocabulary:
    """Return the vocabulary of each kind of file that can be read."""
    if request.param == "gguf":
        return Vocabulary.load(tiny_gguf("qwen2"))
    folder = tmp_path_factory.mktemp("json")
    if request.param == "byte-level json":
        tiny_models.write_tokenizer_json(tiny_models.train("qwen2"), folder / "tokenizer.json")
    else:
        tiny_models.write_byte_fallback_json(folder / "tokenizer.json")
    return Vocabulary.load(folder)
