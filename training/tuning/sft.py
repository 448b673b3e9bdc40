"""Supervised training on Tinker: cross-entropy on the trained ids, Adam, linear decay."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from tinker import types

from training.corpus.store import ENTRIES, PROMPTS, Example, read_examples
from training.errors import BadTraces, Diverged, reading
from training.files import write_json
from training.provenance import of_file, provenance
from training.tuning.folder import RunFolder, check_same, checkpoint_name
from training.tuning.outcome import AFTER, BEFORE, RESULT, Outcome, means
from training.tuning.recipe import Recipe
from training.tuning.schedule import batch_at, rate_at, split, steps_of
from training.tuning.service import TIMEOUT_S, open_trainer, wait

#: Examples of a call that only measures.
_MEASURED = 64

#: Is told the step, how many there are, and the step's loss.
Observe = Callable[[int, int, float], None]


def train(
    client: Any,  # noqa: ANN401 - the SDK's service client
    corpus: Path,
    folder: Path,
    model: str,
    recipe: Recipe,
    *,
    timeout_s: float = TIMEOUT_S,
    trackers: Sequence[str] = (),
    observe: Observe | None = None,
) -> Outcome:
    """Train a LoRA on a corpus; return what it came to. Stopped, it goes on from its checkpoint.

    Raises:
        EmptyCorpus: there is nothing to train on.
        OutputExists: the folder is that of another run.
        ServiceFailed: the service refused, or did not answer in time.
        Diverged: a log-probability is no number any more; the last checkpoint stands.
    """
    known = read_examples(corpus, longest=recipe.longest, kinds=recipe.kinds)
    examples, held_out = split(known, recipe)
    config = _config(corpus, model, recipe)
    with RunFolder(folder, config, provenance("sft", config), trackers=trackers) as run:
        checkpoint = run.checkpoint()
        state = checkpoint["state_path"] if checkpoint else None
        trainer = open_trainer(client, model, recipe.rank, recipe.seed, state, timeout_s=timeout_s)
        first = int(checkpoint["batch"]) if checkpoint else 0
        before, after = folder / BEFORE, folder / AFTER
        if not before.exists():
            write_json(before, _measure(trainer, examples, held_out, timeout_s))
        _steps(trainer, run, examples, recipe, first, timeout_s, observe)
        total = steps_of(len(examples), recipe)
        if checkpoint is None or not checkpoint.get("final"):
            checkpoint = _save(trainer, run, total, timeout_s, final=True)
        write_json(after, _measure(trainer, examples, held_out, timeout_s))
    outcome = Outcome(
        learning_rate=recipe.learning_rate,
        steps=total,
        state_path=checkpoint["state_path"],
        sampler_path=checkpoint["sampler_path"],
        before=means(before),
        after=means(after),
    )
    write_json(folder / RESULT, asdict(outcome))
    return outcome


def outcome_of(corpus: Path, folder: Path, model: str, recipe: Recipe) -> Outcome | None:
    """Return what a run that has ended in a folder came to; None: none has.

    Raises:
        BadTraces: the corpus cannot be read.
        OutputExists: the folder is that of another run.
    """
    if not (folder / RESULT).exists():
        return None
    check_same(folder, _config(corpus, model, recipe))
    return Outcome(**orjson.loads((folder / RESULT).read_bytes()))


def _config(corpus: Path, model: str, recipe: Recipe) -> dict[str, Any]:
    """Return what makes a run this one and no other."""
    with reading(corpus, BadTraces):
        inputs = [of_file(corpus / name) for name in (ENTRIES, PROMPTS)]
    return {"model": model, "recipe": recipe.model_dump(mode="json"), "corpus": inputs}


def to_datum(example: Example) -> types.Datum:
    """Return an example as the service takes it: inputs, and the targets one id later."""
    return types.Datum(
        model_input=types.ModelInput.from_ints(example.ids[:-1].tolist()),
        loss_fn_inputs={
            "target_tokens": types.TensorData.from_numpy(example.ids[1:].astype(np.int64)),
            "weights": types.TensorData.from_numpy(example.weights[1:]),
        },
    )


def _steps(
    trainer: Any,  # noqa: ANN401
    run: RunFolder,
    examples: Sequence[Example],
    recipe: Recipe,
    first: int,
    timeout_s: float,
    observe: Observe | None,
) -> None:
    """Make the steps from `first` on; the next one is sent before the last is waited for."""
    total = steps_of(len(examples), recipe)
    sent: tuple[int, Any, Any, float, list[Example]] | None = None
    for step in range(first, total):
        if step > first and step % recipe.save_every == 0 and sent is not None:
            _note(run, sent, total, recipe, timeout_s, observe)
            sent = None
            _save(trainer, run, step, timeout_s)
        batch = batch_at(examples, step, recipe)
        begun = time.monotonic()
        passed = trainer.forward_backward([to_datum(each) for each in batch], "cross_entropy")
        adam = types.AdamParams(
            learning_rate=rate_at(step, total, recipe),
            beta1=recipe.beta1, beta2=recipe.beta2, eps=recipe.epsilon,
        )  # fmt: skip
        stepped = trainer.optim_step(adam)
        if sent is not None:
            _note(run, sent, total, recipe, timeout_s, observe)
        sent = (step, passed, stepped, begun, batch)
    if sent is not None:
        _note(run, sent, total, recipe, timeout_s, observe)


def _note(
    run: RunFolder,
    sent: tuple[int, Any, Any, float, list[Example]],
    total: int,
    recipe: Recipe,
    timeout_s: float,
    observe: Observe | None,
) -> None:
    """Wait for a step and note its figures."""
    step, passed, stepped, begun, batch = sent
    output = wait(passed, f"step {step}", timeout_s)
    wait(stepped, f"step {step}", timeout_s)
    sums = [_weighted(out, each) for out, each in zip(output.loss_fn_outputs, batch, strict=True)]
    weights = sum(float(each.weights[1:].sum()) for each in batch)
    loss = -sum(sums) / weights
    run.add_metrics(
        {
            "step": step, "progress": (step + 1) / total, "train_mean_nll": loss,
            "learning_rate": rate_at(step, total, recipe), "num_sequences": len(batch),
            "num_tokens": sum(len(each.ids) for each in batch), "num_loss_tokens": weights,
            "time/total": time.monotonic() - begun,
        }
    )  # fmt: skip
    if observe is not None:
        observe(step + 1, total, loss)


def _weighted(output: dict[str, Any], example: Example) -> float:
    """Return the sum of an example's log-probabilities, times their weights.

    Raises:
        Diverged: one that counts is no number, or minus infinity.
    """
    weights = example.weights[1:]
    logprobs = np.asarray(output["logprobs"].data, np.float64)[weights != 0]
    if not np.isfinite(logprobs).all():
        raise Diverged(f"a log-probability of entry {example.entry}", "the model on Tinker")
    return float(logprobs @ weights[weights != 0])


def _save(
    trainer: Any,  # noqa: ANN401
    run: RunFolder,
    step: int,
    timeout_s: float,
    *,
    final: bool = False,
) -> dict[str, Any]:
    """Save a checkpoint, of weights for sampling too at the end."""
    name = checkpoint_name(step)
    row: dict[str, Any] = {"name": name, "batch": step}
    state = wait(trainer.save_state(name), f"saving {name}", timeout_s)
    row["state_path"] = state.path
    if final:
        saved = wait(trainer.save_weights_for_sampler(name), f"saving {name}", timeout_s)
        row |= {"sampler_path": saved.path, "final": True}
    run.add_checkpoint(row)
    return row


def _measure(
    trainer: Any,  # noqa: ANN401
    examples: Sequence[Example],
    held_out: Sequence[Example],
    timeout_s: float,
) -> list[dict[str, Any]]:
    """Return the mean log-probability of each example's trained ids."""
    rows = []
    for kind, chosen in (("trained", examples), ("held_out", held_out)):
        for first in range(0, len(chosen), _MEASURED):
            batch = chosen[first : first + _MEASURED]
            sent = trainer.forward([to_datum(each) for each in batch], "cross_entropy")
            outputs = wait(sent, "measuring log-probabilities", timeout_s).loss_fn_outputs
            for output, example in zip(outputs, batch, strict=True):
                mean = _weighted(output, example) / float(example.weights[1:].sum())
                rows.append({"entry": example.entry, "kind": kind, "logprob": mean})
    return rows
