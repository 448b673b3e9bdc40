"""A LoRA trained here: the same corpus and recipes as on Tinker, by transformers and peft."""

import importlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from training.corpus.store import ENTRIES, PROMPTS, Example, read_examples
from training.errors import BadBase, MissingExtra, writing
from training.files import write_json
from training.provenance import of_file, provenance
from training.tuning.folder import RunFolder
from training.tuning.outcome import RESULT, Outcome, means
from training.tuning.recipe import Recipe
from training.tuning.schedule import batch_at, rate_at, split, steps_of

#: Every linear layer of attention and feed-forward, as transformers names them.
TARGETS = r".*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
ADAPTER, OPTIMIZER = "adapter", "optimizer.pt"

#: Is told the step, how many there are, and the step's loss.
Observe = Callable[[int, int, float], None]


def train_here(
    corpus: Path,
    folder: Path,
    base: Path,
    recipe: Recipe,
    *,
    observe: Observe | None = None,
) -> Outcome:
    """Train a LoRA on a corpus; the adapter is in the folder's `adapter`, in PEFT's form.

    It runs on CUDA or MPS where there is one, in BF16 there, else on the CPU in float32; weights
    are never in 8 or 4 bits. Stopped, it goes on from its last checkpoint.

    Raises:
        BadBase: transformers cannot load the model.
        EmptyCorpus: there is nothing to train on.
        MissingExtra: torch, transformers or peft is not installed.
        OutputExists: the folder is that of another run.
    """
    libraries = {name: _library(name) for name in ("torch", "transformers", "peft")}
    examples, held_out = split(read_examples(corpus, longest=recipe.longest), recipe)
    inputs = [of_file(corpus / name) for name in (ENTRIES, PROMPTS)]
    config = {"model": base.name, "recipe": recipe.model_dump(mode="json"), "corpus": inputs}
    run = RunFolder(folder, config, provenance("local", config))
    checkpoint = run.checkpoint()
    kept = folder / checkpoint["state_path"] if checkpoint else None
    trainer = _Trainer(libraries, base, recipe, kept)
    before, after = folder / "logprobs-before.json", folder / "logprobs-after.json"
    if not before.exists():
        write_json(before, trainer.measure(examples, held_out))
    total = steps_of(len(examples), recipe)
    last: str = checkpoint["state_path"] if checkpoint else ""
    for step in range(int(checkpoint["batch"]) if checkpoint else 0, total):
        rate = rate_at(step, total, recipe)
        loss = trainer.step(batch_at(examples, step, recipe), rate)
        run.add_metrics({"step": step, "train_mean_nll": loss, "learning_rate": rate})
        if observe is not None:
            observe(step + 1, total, loss)
        if (step + 1) % recipe.save_every == 0 or step + 1 == total:
            last = f"checkpoint-{step + 1:06d}"
            trainer.save(folder / last)
            run.add_checkpoint({"name": last, "batch": step + 1, "state_path": last})
    with writing(folder):
        shutil.copytree(folder / last, folder / ADAPTER, dirs_exist_ok=True)
        (folder / ADAPTER / OPTIMIZER).unlink()
    write_json(after, trainer.measure(examples, held_out))
    outcome = Outcome(
        learning_rate=recipe.learning_rate,
        steps=total,
        state_path=str(folder / last),
        sampler_path=str(folder / ADAPTER),
        before=means(before),
        after=means(after),
    )
    write_json(folder / RESULT, asdict(outcome))
    return outcome


def _library(name: str) -> Any:  # noqa: ANN401 - not installed where the checks run
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingExtra(
            f'training here needs {name}: `pip install "quorum-aimo[train]" torch`'
        ) from None


def _device(torch: Any) -> str:  # noqa: ANN401
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


class _Trainer:
    """The model with its adapter, and the optimiser; from a checkpoint where there is one."""

    def __init__(
        self, libraries: dict[str, Any], base: Path, recipe: Recipe, checkpoint: Path | None
    ) -> None:
        self._torch, peft = libraries["torch"], libraries["peft"]
        self._torch.manual_seed(recipe.seed)
        self._device = _device(self._torch)
        model = self._load(base, libraries["transformers"])
        if checkpoint is None:
            settings = peft.LoraConfig(
                r=recipe.rank, lora_alpha=2 * recipe.rank, target_modules=TARGETS
            )
            self._model = peft.get_peft_model(model, settings)
        else:
            self._model = peft.PeftModel.from_pretrained(model, checkpoint, is_trainable=True)
        self._optimizer = self._torch.optim.AdamW(
            [weight for weight in self._model.parameters() if weight.requires_grad],
            lr=recipe.learning_rate, betas=(recipe.beta1, recipe.beta2),
            eps=recipe.epsilon, weight_decay=0.0,
        )  # fmt: skip
        if checkpoint is not None:
            kept = self._torch.load(
                checkpoint / OPTIMIZER, map_location=self._device, weights_only=True
            )
            self._optimizer.load_state_dict(kept)

    def _load(self, base: Path, transformers: Any) -> Any:  # noqa: ANN401 - transformers' own
        dtype = self._torch.float32 if self._device == "cpu" else self._torch.bfloat16
        try:
            model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
        except (OSError, ValueError) as error:
            raise BadBase(f"{base}: transformers cannot load it ({error})") from None
        return model.to(self._device)

    def _sum(self, example: Example) -> Any:  # noqa: ANN401 - torch's own
        """Return the weighted sum of an example's log-probabilities, with its gradient."""
        ids = self._torch.tensor(example.ids.astype(np.int64), device=self._device)
        weights = self._torch.tensor(example.weights[1:], device=self._device)
        logits = self._model(ids[None, :-1]).logits[0].float()
        logprobs = self._torch.log_softmax(logits, dim=-1).gather(1, ids[1:, None])[:, 0]
        return (logprobs * weights).sum()

    def step(self, batch: Sequence[Example], rate: float) -> float:
        """Take a step; one example's activations are in memory at a time. Return the mean loss."""
        weights = sum(float(each.weights[1:].sum()) for each in batch)
        loss = 0.0
        self._model.train()
        for example in batch:
            part = -self._sum(example) / weights
            part.backward()
            loss += float(part.detach())
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return loss

    def save(self, place: Path) -> None:
        """Save adapter and optimiser."""
        with writing(place):
            self._model.save_pretrained(place)
            self._torch.save(self._optimizer.state_dict(), place / OPTIMIZER)

    def measure(
        self, examples: Sequence[Example], held_out: Sequence[Example]
    ) -> list[dict[str, Any]]:
        """Return the mean log-probability of each example's trained ids."""
        rows = []
        self._model.eval()
        with self._torch.no_grad():
            for kind, chosen in (("trained", examples), ("held_out", held_out)):
                for each in chosen:
                    mean = float(self._sum(each)) / float(each.weights[1:].sum())
                    rows.append({"entry": each.entry, "kind": kind, "logprob": mean})
        return rows
