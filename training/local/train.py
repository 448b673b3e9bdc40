"""A LoRA trained here: the same corpus and recipes as on Tinker, by transformers and peft."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.corpus.store import ENTRIES, PROMPTS, Example, read_examples
from training.errors import writing
from training.files import write_json
from training.local.model import (
    OPTIMIZER,
    WHOLE,
    LoraModel,
    adapter_files,
    base_files,
    bits_here,
    mean_logprob,
    weights_of,
)
from training.provenance import of_file, provenance
from training.tuning.folder import RunFolder
from training.tuning.outcome import AFTER, BEFORE, RESULT, Outcome, means
from training.tuning.recipe import Recipe
from training.tuning.schedule import batch_at, rate_at, split, steps_of

#: The adapter's folder in the run's.
ADAPTER = "adapter"

#: Is told the step, how many there are, and the step's loss.
Observe = Callable[[int, int, float], None]


def train_here(
    corpus: Path,
    folder: Path,
    base: Path,
    recipe: Recipe,
    *,
    start: Path | None = None,
    bits: int = WHOLE,
    trackers: Sequence[str] = (),
    observe: Observe | None = None,
) -> Outcome:
    """Train a LoRA on a corpus; the adapter is in the folder's `adapter`, in PEFT's form.

    It runs on CUDA or MPS where there is one, in BF16 there, else on the CPU in float32; 4- and
    8-bit weights only where the platform has them. `start` is an adapter to begin with. Stopped, it
    goes on from its last checkpoint.

    Raises:
        BadBase: transformers cannot load the model.
        BadAdapter: `start` is no adapter, or not one of this model.
        Diverged: the loss is no number, or what comes of the last step; the last checkpoint before
            it stands.
        EmptyCorpus: there is nothing to train on.
        MissingExtra: torch, transformers or peft is not installed.
        OutputExists: the folder is that of another run, or of one on another base.
    """
    known = read_examples(corpus, longest=recipe.longest, kinds=recipe.kinds)
    examples, held_out = split(known, recipe)
    bits = bits_here(bits)
    inputs = [of_file(corpus / name) for name in (ENTRIES, PROMPTS)]
    config = {
        "model": base.name, "base": [of_file(path) for path in base_files(base)],
        "recipe": recipe.model_dump(mode="json"), "corpus": inputs,
        "start": [of_file(path) for path in adapter_files(start)], "bits": bits,
    }  # fmt: skip
    with RunFolder(folder, config, provenance("local", config), trackers=trackers) as run:
        checkpoint = run.checkpoint()
        model = LoraModel(
            base,
            recipe.rank,
            recipe.seed,
            checkpoint=folder / checkpoint["state_path"] if checkpoint else None,
            start=start,
            adam=(recipe.beta1, recipe.beta2, recipe.epsilon),
            bits=bits,
        )
        before = folder / BEFORE
        if not before.exists():
            write_json(before, _measure(model, examples, held_out))
        last = _steps(model, run, examples, recipe, checkpoint, observe)
        _finish(model, folder, folder / last, examples, held_out)
    outcome = Outcome(
        learning_rate=recipe.learning_rate,
        steps=steps_of(len(examples), recipe),
        state_path=str(folder / last),
        sampler_path=str(folder / ADAPTER),
        before=means(before),
        after=means(folder / AFTER),
    )
    write_json(folder / RESULT, asdict(outcome))
    return outcome


def _steps(
    model: LoraModel,
    run: RunFolder,
    examples: Sequence[Example],
    recipe: Recipe,
    checkpoint: dict[str, Any] | None,
    observe: Observe | None,
) -> str:
    """Make the steps that are left; return the last checkpoint's name."""
    total = steps_of(len(examples), recipe)
    name = str(checkpoint["state_path"]) if checkpoint else ""
    for step in range(int(checkpoint["batch"]) if checkpoint else 0, total):
        rate = rate_at(step, total, recipe)
        loss = _step(model, batch_at(examples, step, recipe), rate)
        run.add_metrics({"step": step, "train_mean_nll": loss, "learning_rate": rate})
        if observe is not None:
            observe(step + 1, total, loss)
        if (step + 1) % recipe.save_every == 0 or step + 1 == total:
            name = f"checkpoint-{step + 1:06d}"
            model.save(run.path / name)
            run.add_checkpoint({"name": name, "batch": step + 1, "state_path": name})
    return name


def _step(model: LoraModel, batch: Sequence[Example], rate: float) -> float:
    """Take a step; one example's activations are in memory at a time. Return the mean loss."""
    weights, loss = weights_of(batch), 0.0
    model.model.train()
    for example in batch:
        own = model.tensor(example.weights[1:])
        part = -(model.logprobs(example.ids) * own).sum() / weights
        model.backward(part)
        loss += float(part.detach())
    model.step(rate)
    return loss


def _finish(
    model: LoraModel,
    folder: Path,
    last: Path,
    examples: Sequence[Example],
    held_out: Sequence[Example],
) -> None:
    """Measure again, and put the last adapter under its name: one that has diverged gets none."""
    write_json(folder / AFTER, _measure(model, examples, held_out))
    with writing(folder):
        shutil.copytree(last, folder / ADAPTER, dirs_exist_ok=True)
        (folder / ADAPTER / OPTIMIZER).unlink()


def _measure(
    model: LoraModel, examples: Sequence[Example], held_out: Sequence[Example]
) -> list[dict[str, Any]]:
    """Return the mean log-probability of each example's trained ids."""
    model.model.eval()
    return [
        {"entry": each.entry, "kind": kind, "logprob": mean_logprob(model, each.ids, each.weights)}
        for kind, chosen in (("trained", examples), ("held_out", held_out))
        for each in chosen
    ]
