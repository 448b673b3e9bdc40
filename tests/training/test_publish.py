"""Adapters from the service, and outputs to the publisher."""

import gc
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from tests.training import tiny
from tests.training.test_corpus import row, write
from tests.training.tinker_server import Service, running
from training import errors
from training.corpus.build import build
from training.corpus.rules import Rules
from training.merge.merge import merge
from training.publish.export import export
from training.publish.upload import command, inspect, upload
from training.rl.recipe import RlRecipe
from training.rl.tinker import TinkerLearner
from training.tuning.service import open_service

#: The SDK leaves sockets of calls that failed to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running() as served:
        yield served
    gc.collect()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_API_KEY", "tml-test")
    monkeypatch.setenv("TINKER_TELEMETRY", "0")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny.write_base(tmp_path / "base", tiny.base_tensors(np.random.default_rng(0)))


def test_an_exported_adapter_is_fetched_named_and_merged(
    service: Service, base: Path, tmp_path: Path
) -> None:
    tensors = tiny.adapter_tensors(np.random.default_rng(1))
    config = {"r": tiny.RANK, "lora_alpha": 2 * tiny.RANK, "target_modules": None}
    service.exported = {
        "adapter_model.safetensors": save(tensors),
        "adapter_config.json": json.dumps(config).encode(),
    }
    with open_service(service.url, tmp_path) as client:
        learner = TinkerLearner(client, "bigram", RlRecipe(kind="rl", rank=4), None)
        state = learner.save("one")["state_path"]
        export(client, state, tmp_path / "adapter")
        told = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
        # PEFT would leave out most of an adapter that does not say
        assert told["target_modules"] == ["q_proj", "unembed_tokens", "w1", "w2", "w3"]
        assert len(merge(base, tmp_path / "adapter", tmp_path / "merged")) == 4
        whole = service.exported["adapter_model.safetensors"]
        service.exported["adapter_model.safetensors"] = whole[:-100]
        with pytest.raises(errors.BadTensors, match="cut short"):
            export(client, state, tmp_path / "cut")
        assert not (tmp_path / "cut").exists()
        del service.exported["adapter_model.safetensors"]
        with pytest.raises(errors.BadAdapter, match=r"has no adapter_model.safetensors"):
            export(client, state, tmp_path / "cut")
        with pytest.raises(errors.ServiceFailed, match="loading tinker://"):
            export(client, "tinker://nothing/weights/none", tmp_path / "none", timeout_s=20)


def test_what_is_published_is_whole(base: Path, corpus: Path, tmp_path: Path) -> None:
    adapter = tiny.write_adapter(
        tmp_path / "adapter", tiny.adapter_tensors(np.random.default_rng(1))
    )
    merge(base, adapter, tmp_path / "merged")
    merged = inspect(tmp_path / "merged")
    assert merged.kind == "model"
    assert merged.notes.startswith("base with the LoRA of sha256 ")
    assert inspect(adapter).kind == "model"
    assert inspect(corpus).kind == "dataset"
    figures = json.loads((corpus / "corpus.json").read_text())["figures"]
    told = command(inspect(corpus), "me/corpus", ["--yes"])
    assert f"corpus of {figures['entries']} entries" in told
    shard = tmp_path / "merged" / "model-00001.safetensors"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(bytes(content))
    with pytest.raises(errors.BadFile, match="is not what was written"):
        inspect(tmp_path / "merged")
    with pytest.raises(errors.BadFile, match="holds no merged model"):
        inspect(base)


@pytest.mark.parametrize(
    ("name", "content"),
    [("entries.parquet", None), ("prompts.parquet", b""), ("tokens.jsonl", None)],
)
def test_a_damaged_corpus_is_not_published(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    rows = [row("a", [10, 11, 12]), row("b", [13, 14])]
    folder = tmp_path / "corpus"
    build([write(tmp_path / "t.jsonl", rows)], folder, Rules(), lines=True)
    assert inspect(folder).notes == "corpus of 2 entries"
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(errors.BadFile, match=f"{name}: is not what was written"):
        inspect(folder)
    (folder / name).unlink()
    with pytest.raises(errors.BadFile, match=f"{name}: is not what was written"):
        inspect(folder)


@pytest.mark.parametrize(
    "change",
    [{}, {"files": {}}, {"files": None}, {"inputs": None}, {"inputs": [{}]}, {"inputs": []},
     {"base": 7}, {"base": {}}],
)  # fmt: skip
def test_a_damaged_record_is_told(base: Path, tmp_path: Path, change: dict[str, object]) -> None:
    tensors = tiny.adapter_tensors(np.random.default_rng(1))
    merge(base, tiny.write_adapter(tmp_path / "adapter", tensors), tmp_path / "merged")
    record = tmp_path / "merged" / "merge.json"
    told = json.loads(record.read_text()) | change if change else {}
    record.write_text(json.dumps(told))
    with pytest.raises(errors.BadFile, match=r"merge.json: .*; make the output again"):
        inspect(tmp_path / "merged")


def test_settings_that_are_damaged_are_told(base: Path, tmp_path: Path) -> None:
    tensors = tiny.adapter_tensors(np.random.default_rng(1))
    adapter = tiny.write_adapter(tmp_path / "adapter", tensors)
    merge(base, adapter, tmp_path / "merged")
    for path in (adapter / "adapter_config.json", tmp_path / "merged" / "config.json"):
        path.write_bytes(b'{"r": ')
        with pytest.raises(errors.BadFile, match=f"{path.name}: not JSON"):
            inspect(path.parent)


def test_the_publisher_tells_what_it_would_send(
    corpus: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    upload(inspect(corpus), "someone/my-corpus", [])
    told = capfd.readouterr().out
    assert "would upload" in told
    assert "entries.parquet" in told
    assert "nothing was sent" in told
    with pytest.raises(errors.OutputFailed, match="was not uploaded"):
        upload(inspect(corpus), "not a name", [])
