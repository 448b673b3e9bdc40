"""Training on this machine, merged and compared; needs torch."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.training.tiny_qwen import save_tiny
from training.errors import BadBase, Diverged, OutputExists
from training.local.train import train_here
from training.merge.merge import merge
from training.tuning.recipe import load_recipe

torch: Any = pytest.importorskip("torch", reason="needs torch: install the extra `train`")
peft: Any = pytest.importorskip("peft", reason="needs peft: install the extra `train`")
transformers: Any = pytest.importorskip("transformers", reason="install the extra `train`")

#: peft uses names that transformers is giving up, and warns of saving embeddings.
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning"),
]

RECIPE = load_recipe("sft").model_copy(
    update={"rank": 8, "batch": 4, "epochs": 8, "learning_rate": 0.02, "save_every": 5,
            "held_out": 0.3}
)  # fmt: skip


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "base", torch, transformers)


def logits(folder: Path) -> Any:  # noqa: ANN401
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return model, model(torch.arange(64)[None]).logits


def test_a_run_that_is_stopped_goes_on_and_its_adapter_is_merged(
    corpus: Path,
    base: Path,
    tmp_path: Path,
) -> None:
    def stop(step: int, *_: object) -> None:
        if step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_here(corpus, tmp_path / "run", base, RECIPE, observe=stop)
    seen: list[int] = []
    outcome = train_here(
        corpus, tmp_path / "run", base, RECIPE, observe=lambda step, *_: seen.append(step)
    )
    assert seen[0] == 6
    whole = train_here(corpus, tmp_path / "whole", base, RECIPE)
    assert outcome.after == pytest.approx(whole.after, abs=1e-3)
    assert outcome.after["trained"] > outcome.before["trained"] + 1
    assert outcome.after["held_out"] > outcome.before["held_out"]
    merge(base, tmp_path / "run" / "adapter", tmp_path / "merged")
    model, before = logits(base)
    adapted = peft.PeftModel.from_pretrained(model, tmp_path / "run" / "adapter").eval()
    with torch.no_grad():
        wanted = adapted(torch.arange(64)[None]).logits
    _, merged = logits(tmp_path / "merged")
    assert float((merged - wanted).norm() / wanted.norm()) < 1e-4
    assert float((before - wanted).norm() / wanted.norm()) > 0.05


def test_a_loss_that_is_no_number_ends_a_run_before_the_step(
    corpus: Path, base: Path, tmp_path: Path
) -> None:
    too_large = RECIPE.model_copy(update={"learning_rate": 1e30, "save_every": 2})
    with pytest.raises(Diverged, match="its loss is no number"):
        train_here(corpus, tmp_path / "run", base, too_large)


@pytest.mark.parametrize("change", [{"save_every": 1}, {"batch": 99, "epochs": 1}])
def test_a_run_that_diverges_in_its_last_step_leaves_no_adapter(
    corpus: Path, base: Path, tmp_path: Path, change: dict[str, int]
) -> None:
    too_large = RECIPE.model_copy(update={"learning_rate": 1e30, **change})
    for _ in range(2):  # the same command again is told the same
        with pytest.raises(Diverged, match="a log-probability is no number"):
            train_here(corpus, tmp_path / "run", base, too_large)
        assert not (tmp_path / "run" / "adapter").exists()
        # weights that are worth nothing are not gone on from
        assert not list((tmp_path / "run").glob("checkpoint*"))


def test_a_run_does_not_go_on_from_another_base_of_the_same_name(
    corpus: Path, base: Path, tmp_path: Path
) -> None:
    recipe = RECIPE.model_copy(update={"epochs": 1})
    train_here(corpus, tmp_path / "run", base, recipe)
    moved = shutil.copytree(base, tmp_path / "moved" / base.name)
    train_here(corpus, tmp_path / "run", moved, recipe)  # the same model, elsewhere
    model = transformers.AutoModelForCausalLM.from_pretrained(moved, dtype=torch.float32)
    model.lm_head.weight.data.mul_(1.01)
    model.save_pretrained(moved)
    with pytest.raises(OutputExists, match="is of a run with another configuration"):
        train_here(corpus, tmp_path / "run", moved, recipe)
    with pytest.raises(BadBase, match="none: is no folder"):
        train_here(corpus, tmp_path / "new", tmp_path / "none", recipe)
    assert not (tmp_path / "new").exists()
