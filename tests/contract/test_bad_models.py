"""A model that cannot be used is refused as the gateway opens, by every kind of engine, in words.

Each refusal names the constraint, the value and what to set; nothing is left running behind it.
"""

import json
from collections.abc import Callable
from pathlib import Path

import anyio
import psutil
import pytest

from server.errors import QuorumServerError
from server.parts import open_parts
from server.settings import load_settings
from tests.server.vocabulary import tiny_models

#: The kinds that read a model's files here; a server at a URL needs its vocabulary as well.
KINDS: dict[str, dict[str, str]] = {
    "llamacpp": {},
    "sglang": {},
    "sglang at a URL": {"engine.kind": "sglang", "engine.urls": "http://127.0.0.1:9"},
    "openai": {"engine.urls": "http://127.0.0.1:9"},
    "rehearsal": {},
}


def missing(folder: Path) -> Path:
    return folder / "nowhere"


def empty(folder: Path) -> Path:
    return folder


def damaged(folder: Path) -> Path:
    (folder / "tokenizer.json").write_text('{"model": {"type": "BPE", "vocab": ')
    (folder / "config.json").write_text("{}")
    return folder


def not_a_model(folder: Path) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(b"GGUF" + bytes(200))
    return path


def unknown_family(folder: Path) -> Path:
    tokens = ("<bos-of-nobody>", "<eos-of-nobody>")
    tiny_models.write_tokenizer_json(tiny_models.train("qwen2"), folder / "tokenizer.json", tokens)
    (folder / "config.json").write_text(json.dumps({"model_type": "nobody"}))
    return folder


CASES: dict[Callable[[Path], Path], tuple[str, ...]] = {
    missing: ("nowhere",),
    empty: ("tokenizer.json",),
    damaged: ("tokenizer.json",),
    not_a_model: ("model.gguf",),
    unknown_family: ("no known family", "chat_template"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
async def test_a_model_that_cannot_be_used_is_refused_at_once(
    kind: str, make: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = make(tmp_path)
    given = {"engine.kind": kind, "engine.model": str(path), "journal.path": "none"}
    settings = load_settings(given | KINDS[kind])
    with anyio.fail_after(20), pytest.raises(QuorumServerError) as caught:
        async with open_parts(settings):
            pytest.fail("there is no such model")
    for part in CASES[make]:
        assert part in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not psutil.Process().children(recursive=True)
