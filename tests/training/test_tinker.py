"""The real SDK against a server that speaks its protocol and trains a bigram model."""

import gc
import importlib.util
import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tinker import ServiceClient

from tests.training.test_corpus import read_json
from tests.training.tinker_server import Service, running
from training import errors
from training.files import locked
from training.tuning import sft
from training.tuning.folder import RunFolder
from training.tuning.recipe import load_any, load_recipe, names
from training.tuning.service import open_service
from training.tuning.sweep import sweep

RECIPE = load_recipe("sft").model_copy(
    update={"batch": 4, "epochs": 4, "learning_rate": 0.4, "save_every": 3, "held_out": 0.3}
)


#: The SDK leaves sockets of calls that failed to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with running() as served:
        yield served


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TINKER_API_KEY", "tml-test")
    monkeypatch.setenv("TINKER_TELEMETRY", "0")
    yield
    gc.collect()


@pytest.fixture(scope="module")
def client(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceClient]:
    folder = tmp_path_factory.mktemp("key")
    (folder / ".env").write_text('export TINKER_API_KEY="tml-test"\n')
    with open_service(service.url, folder) as opened:
        yield opened
    gc.collect()


def test_training_raises_what_was_trained_and_what_was_not(
    client: ServiceClient, corpus: Path, tmp_path: Path
) -> None:
    outcome = sft.train(client, corpus, tmp_path / "run", "tiny", RECIPE)
    assert outcome.before["trained"] == pytest.approx(-math.log(64), abs=1e-4)
    assert outcome.after["trained"] > outcome.before["trained"] + 0.5
    assert outcome.after["held_out"] > outcome.before["held_out"] + 0.3
    metrics = read_json(tmp_path / "run" / "metrics.jsonl")
    assert [each["step"] for each in metrics] == list(range(outcome.steps))
    assert metrics[0]["train_mean_nll"] == pytest.approx(math.log(64), abs=1e-4)
    assert metrics[-1]["train_mean_nll"] < metrics[0]["train_mean_nll"]
    rates = [each["learning_rate"] for each in metrics]
    assert rates[0] == 0.4
    assert np.allclose(np.diff(rates), -0.4 / outcome.steps)
    assert metrics[0]["num_loss_tokens"] == 4 * 15
    checkpoints = read_json(tmp_path / "run" / "checkpoints.jsonl")
    assert [each["batch"] for each in checkpoints][-1] == outcome.steps
    assert checkpoints[-1]["final"]
    assert len({each["name"] for each in checkpoints}) == len(checkpoints) > 1
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["recipe"]["learning_rate"] == 0.4
    assert "tinker" in config["origin"]["versions"]
    again = sft.train(client, corpus, tmp_path / "run", "tiny", RECIPE)
    assert again.sampler_path == outcome.sampler_path
    assert again.after == pytest.approx(outcome.after)
    other = RECIPE.model_copy(update={"rank": 8})
    with pytest.raises(errors.OutputExists, match="another configuration"):
        sft.train(client, corpus, tmp_path / "run", "tiny", other)


def test_a_run_that_the_service_fails_goes_on_to_the_same_weights(
    client: ServiceClient, service: Service, corpus: Path, tmp_path: Path
) -> None:
    whole = sft.train(client, corpus, tmp_path / "whole", "tiny", RECIPE)
    service.fail = {"optim_step": 5}
    with pytest.raises(errors.ServiceFailed, match=r"step .* run the same command again"):
        sft.train(client, corpus, tmp_path / "run", "tiny", RECIPE, timeout_s=20)
    assert not (tmp_path / "run" / "result.json").exists()
    service.fail = {}
    again = sft.train(client, corpus, tmp_path / "run", "tiny", RECIPE)
    assert again.after == pytest.approx(whole.after)
    steps = [each["step"] for each in read_json(tmp_path / "run" / "metrics.jsonl")]
    assert sorted(set(steps)) == list(range(whole.steps))
    assert steps.count(0) == 1


def test_a_service_that_opens_no_session_is_told(
    service: Service, corpus: Path, tmp_path: Path
) -> None:
    """The SDK opens it with the first call, and raises there and then."""
    service.fail = {"create_session": 0}
    try:
        with (
            pytest.raises(errors.ServiceFailed, match=r"told to fail.*run the same command again"),
            open_service(service.url, tmp_path) as opened,
        ):
            sft.train(opened, corpus, tmp_path / "run", "tiny", RECIPE)
    finally:
        service.fail = {}


def test_two_processes_do_not_train_in_one_folder(
    client: ServiceClient, corpus: Path, tmp_path: Path
) -> None:
    with locked(tmp_path), pytest.raises(errors.OutputExists, match="another process"):
        sft.train(client, corpus, tmp_path, "tiny", RECIPE)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_service_that_does_not_answer_in_time_ends_the_run_by_name(
    client: ServiceClient, service: Service, corpus: Path, tmp_path: Path
) -> None:
    service.stall = {"optim_step"}
    try:
        with pytest.raises(errors.ServiceFailed, match=r"step \d: TimeoutError; run the same"):
            sft.train(client, corpus, tmp_path / "run", "tiny", RECIPE, timeout_s=2)
    finally:
        service.stall = set()
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_checkpoint_name_that_is_taken_is_refused_and_not_waited_for(
    client: ServiceClient, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sft, "checkpoint_name", lambda _: "the-same")
        with pytest.raises(errors.ServiceFailed, match=r"saving the-same: .*exists"):
            sft.train(client, corpus, tmp_path / "run", "tiny", RECIPE, timeout_s=20)
    (kept,) = read_json(tmp_path / "run" / "checkpoints.jsonl")
    assert kept["batch"] == 3
    again = sft.train(client, corpus, tmp_path / "run", "tiny", RECIPE)
    assert again.after["trained"] > again.before["trained"]


def test_entries_of_a_recipes_kinds_are_trained_on(
    client: ServiceClient, corpus: Path, tmp_path: Path
) -> None:
    recipe = RECIPE.model_copy(update={"kinds": ("cot",)})
    with pytest.raises(errors.EmptyCorpus, match="no entry of kind cot has an id"):
        sft.train(client, corpus, tmp_path / "run", "tiny", recipe)


def test_trackers_are_named_and_installed(tmp_path: Path) -> None:
    with pytest.raises(errors.BadFile, match="must be one of tensorboard, wandb"):
        RunFolder(tmp_path / "one", {}, {}, trackers=["nonsense"])
    if importlib.util.find_spec("wandb") is None:
        with pytest.raises(errors.MissingExtra, match="needs wandb"):
            RunFolder(tmp_path / "two", {}, {}, trackers=["wandb"])


def test_a_sweep_chooses_by_held_out_examples(
    client: ServiceClient, corpus: Path, tmp_path: Path
) -> None:
    recipe = RECIPE.model_copy(update={"sweep": (0.001, 0.1), "epochs": 1})
    best, outcomes = sweep(client, corpus, tmp_path / "sweep", "tiny", recipe)
    assert best.learning_rate == 0.1
    assert len(outcomes) == 2
    assert json.loads((tmp_path / "sweep" / "sweep.json").read_text())["best"] == 0.1
    assert (tmp_path / "sweep" / "sweep.png").read_bytes().startswith(b"\x89PNG")
    # runs that have ended are not made again: no service is asked
    assert sweep(None, corpus, tmp_path / "sweep", "tiny", recipe) == (best, outcomes)
    other = recipe.model_copy(update={"rank": 8})
    for model, chosen in (("another", recipe), ("tiny", other)):
        with pytest.raises(errors.OutputExists, match="another configuration"):
            sweep(client, corpus, tmp_path / "sweep", model, chosen)


@pytest.mark.filterwarnings("ignore:(invalid value|overflow):RuntimeWarning")
def test_a_rate_at_which_the_model_diverges_is_left_out(
    client: ServiceClient, corpus: Path, tmp_path: Path
) -> None:
    recipe = RECIPE.model_copy(update={"sweep": (1e300, 0.1), "epochs": 1})
    best, outcomes = sweep(client, corpus, tmp_path / "some", "tiny", recipe)
    assert (best.learning_rate, outcomes) == (0.1, [best])
    assert json.loads((tmp_path / "some" / "sweep.json").read_text())["diverged"] == [1e300]
    hopeless = recipe.model_copy(update={"sweep": (1e300,)})
    with pytest.raises(errors.Diverged, match=r"model on Tinker: .* lower learning rate"):
        sweep(client, corpus, tmp_path / "none", "tiny", hopeless)


def test_recipes_are_checked(tmp_path: Path) -> None:
    assert {"sft", "cot", "tir"} <= set(names())
    assert all(load_any(name).rank in {32, 64} for name in names())
    path = tmp_path / "mine.toml"
    path.write_text('kind = "sft"\nrank = 0\nwrong = 1\n')
    with pytest.raises(errors.BadFile, match=r"rank: .*wrong: "):
        load_recipe(str(path))
    with pytest.raises(errors.BadFile, match="must be one of cot"):
        load_recipe("nonsense")


def test_a_missing_key_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TINKER_API_KEY")
    with (
        pytest.raises(errors.ServiceFailed, match="set TINKER_API_KEY"),
        open_service("http://127.0.0.1:9", tmp_path),
    ):
        pass
