"""The engine that the settings name is the one that is opened."""

from pathlib import Path

import anyio
import pytest

from server.engine.base import Sampling
from server.engine.errors import EngineFailed
from server.engine.llamacpp import LlamaCppEngine
from server.engine.openai import OpenaiEngine
from server.engine.opening import api_key, open_engine, starts_here
from server.engine.sglang import SglangEngine
from server.engine.spread import SpreadEngine
from server.errors import SettingsError
from server.settings import Settings, load_settings
from server.vocabulary import Vocabulary
from tests.server.engine.openai_cases import fake_vllm
from tests.server.engine.sglang_cases import KEY, fake_server

PATIENCE_S = 30


def settings(**engine: object) -> Settings:
    return load_settings({f"engine.{name}": value for name, value in engine.items()})


async def test_several_servers_of_completions_are_one_engine(
    tiny_path: Path, tiny_vocabulary: Vocabulary
) -> None:
    sampling = Sampling(max_tokens=3, temperature=0, seed=0)
    with fake_vllm(tiny_vocabulary) as first, fake_vllm(tiny_vocabulary) as second:
        named = settings(kind="openai", urls=f"{first}/, {second}", context_tokens=512)
        async with open_engine(named, tiny_path, tiny_vocabulary) as engine:
            assert isinstance(engine, SpreadEngine)
            assert all(isinstance(part, OpenaiEngine) for part in engine._engines)
            with anyio.fail_after(PATIENCE_S):
                await engine.wait_ready()
                async with engine.generate([300], sampling, session="s") as stream:
                    ids = [i async for chunk in stream for i in chunk.token_ids]
    assert len(ids) == 3


async def test_sglang_at_a_url_with_its_key_in_a_file(
    tiny_path: Path, tiny_vocabulary: Vocabulary, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    with fake_server(tiny_vocabulary) as url:
        file = str(tmp_path / "key")
        named = settings(kind="sglang", urls=url, api_key_file=file, context_tokens=520)
        async with open_engine(named, tiny_path, tiny_vocabulary) as engine:
            assert isinstance(engine, SglangEngine)
            with anyio.fail_after(PATIENCE_S):
                await engine.wait_ready()
    assert not starts_here(named)


async def test_without_a_url_sglang_is_started_here(
    tiny_path: Path, tiny_vocabulary: Vocabulary
) -> None:
    named = settings(kind="sglang")
    assert starts_here(named)
    with pytest.raises(EngineFailed, match=r"no config\.json"):
        async with open_engine(named, tiny_path, tiny_vocabulary):
            pytest.fail("a GGUF file is no model folder")


async def test_llama_cpp_is_the_default(tiny_path: Path, tiny_vocabulary: Vocabulary) -> None:
    async with open_engine(settings(), tiny_path, tiny_vocabulary) as engine:
        assert isinstance(engine, LlamaCppEngine)


def test_the_key_comes_from_the_variable_and_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORUM_ENGINE_API_KEY", "a secret")
    named = settings(kind="openai", urls="http://127.0.0.1:1")
    assert api_key(named) == "a secret"
    assert "a secret" not in named.model_dump_json() + repr(named)


def test_a_key_file_that_is_missing_is_named(tmp_path: Path) -> None:
    file = str(tmp_path / "nowhere")
    with pytest.raises(EngineFailed, match="nowhere"):
        api_key(settings(kind="openai", urls="http://127.0.0.1:1", api_key_file=file))


@pytest.mark.parametrize(
    ("engine", "sentence"),
    [
        ({"kind": "openai"}, r"set engine\.urls"),
        ({"kind": "llamacpp", "urls": "http://127.0.0.1:1"}, r"set engine\.kind"),
        ({"kind": "sglang", "urls": "127.0.0.1:1"}, "must begin with http"),
        ({"kind": "sglang", "arguments": "--a 'b"}, "quoted as in a shell"),
        ({"kind": "vllm"}, r"engine\.kind 'vllm'"),
    ],
)
def test_settings_that_do_not_agree_are_refused(engine: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        settings(**engine)
