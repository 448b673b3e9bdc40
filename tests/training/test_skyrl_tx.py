"""The open server skyrl-tx really trains, on a CPU: opt-in, by the interpreter that has it.

    QUORUM_TEST_SKYRL_TX=/path/to/python pytest tests/training/test_skyrl_tx.py

That environment has skyrl-tx 0.3.0 with jax; this one has the extra `train` and torch.
"""

import gc
import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from server.engine.rehearsal import vocabularies
from training.corpus.store import read_examples
from training.publish.export import name_targets
from training.tuning import sft
from training.tuning.recipe import load_recipe
from training.tuning.service import open_service

PYTHON = os.environ.get("QUORUM_TEST_SKYRL_TX", "")
pytestmark = [
    pytest.mark.skipif(not PYTHON, reason="opt-in: set QUORUM_TEST_SKYRL_TX to its interpreter"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.timeout(900),
]
#: Seconds until it listens: jax compiles.
START_S = 240.0


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A tiny Qwen3 with random weights; skyrl-tx wants a tokenizer beside them."""
    torch: Any = pytest.importorskip("torch", reason="needs torch: install the extra `train`")
    transformers: Any = pytest.importorskip("transformers", reason="install the extra `train`")
    torch.manual_seed(0)
    config = transformers.Qwen3Config(
        vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=16, tie_word_embeddings=False,
        max_position_embeddings=512,
    )  # fmt: skip
    model = transformers.Qwen3ForCausalLM(config)
    model.lm_head.weight.data.mul_(10)
    folder = tmp_path / "base"
    model.save_pretrained(folder)
    vocabulary = Path(vocabularies.__file__).parent / "qwen" / "tokenizer.json"
    shutil.copy(vocabulary, folder / "tokenizer.json")
    # skyrl-tx reads them by transformers 4, which knows neither version 5's class of tokenizers nor
    # its place for the base of rotary embeddings
    told = {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    settings = json.loads((folder / "config.json").read_text())
    theta = settings.get("rope_parameters", settings).get("rope_theta", 10_000.0)
    (folder / "config.json").write_text(json.dumps({**settings, "rope_theta": theta}))
    return folder


@pytest.fixture
def url(base: Path, tmp_path: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    launcher = Path(__file__).with_name("skyrl_tx.py")
    command = [PYTHON, str(launcher), "--base-model", str(base), "--port", str(port)]
    command += ["--checkpoints-base", str(tmp_path / "checkpoints")]
    log = tmp_path / "skyrl-tx.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=output, stderr=output)
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + START_S
    try:
        while not _listens(address):
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


def _listens(address: str) -> bool:
    try:
        return httpx.get(f"{address}/api/v1/healthz", timeout=2).status_code < 500
    except httpx.HTTPError:
        return False


def test_it_trains_and_its_adapter_gives_the_same_logprobs(
    url: str, base: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINKER_API_KEY", "tml-test")
    monkeypatch.setenv("TINKER_TELEMETRY", "0")
    recipe = load_recipe("sft").model_copy(
        update={"rank": 8, "batch": 4, "epochs": 4, "learning_rate": 0.02, "held_out": 0.3}
    )
    example = read_examples(corpus)[0]
    with open_service(url, tmp_path) as client:
        outcome = sft.train(client, corpus, tmp_path / "run", str(base), recipe, timeout_s=300)
        assert outcome.after["trained"] > outcome.before["trained"] + 0.5
    gc.collect()
    adapter = fetch(url, outcome.sampler_path, tmp_path / "adapter")
    here = logprobs(base, adapter, example.ids)
    # what the server said of it: SDKs of today load weights by a call that skyrl-tx 0.3.0 lacks
    rows = json.loads((tmp_path / "run" / "logprobs-after.json").read_text())
    there = next(row["logprob"] for row in rows if row["entry"] == example.entry)
    weights = example.weights[1:]
    assert float(here @ weights / weights.sum()) == pytest.approx(there, abs=1e-2)


def fetch(url: str, path: str, target: Path) -> Path:
    """Download an adapter's archive, which newer SDKs no longer ask for."""
    run, *_, name = path.removeprefix("tinker://").split("/")
    address = f"{url}/api/v1/training_runs/{run}/checkpoints/{name}/archive"
    reply = httpx.get(address, follow_redirects=True, timeout=60)
    assert reply.status_code == 200, reply.text
    with tarfile.open(fileobj=io.BytesIO(reply.content)) as archive:
        archive.extractall(target, filter="data")
    (config,) = target.rglob("adapter_config.json")
    name_targets(config.parent)
    return config.parent


def logprobs(base: Path, adapter: Path, ids: Any) -> Any:  # noqa: ANN401 - torch's own
    torch: Any = pytest.importorskip("torch")
    peft: Any = pytest.importorskip("peft", reason="needs peft: install the extra `train`")
    transformers: Any = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = peft.PeftModel.from_pretrained(model, adapter).eval()
    known = torch.tensor(ids.astype(np.int64))
    with torch.no_grad():
        logits = model(known[None, :-1]).logits[0]
        found = torch.log_softmax(logits, dim=-1).gather(1, known[1:, None])[:, 0]
    return found.numpy()
