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
ADAPTER = "adapter"

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
    torch, transformers, peft = (_library(name) for name in ("torch", "transformers", "peft"))
    examples, held_out = split(read_examples(corpus, longest=recipe.longest), recipe)
    inputs = [of_file(corpus / name) for name in (ENTRIES, PROMPTS)]
    config = {"model": base.name, "recipe": recipe.model_dump(mode="json"), "corpus": inputs}
    run = RunFolder(folder, config, provenance("local", config))
    checkpoint = run.checkpoint()
    torch.manual_seed(recipe.seed)
    device = _device(torch)
    model = _load(base, torch, transformers, device)
    state: dict[str, Any] | None = None
    if checkpoint is None:
        settings = peft.LoraConfig(
            r=recipe.rank, lora_alpha=2 * recipe.rank, target_modules=TARGETS
        )
        model = peft.get_peft_model(model, settings)
    else:
        place = folder / checkpoint["state_path"]
        model = peft.PeftModel.from_pretrained(model, place, is_trainable=True)
        state = torch.load(place / "optimizer.pt", map_location=device, weights_only=True)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=recipe.learning_rate, betas=(recipe.beta1, recipe.beta2),
        eps=recipe.epsilon, weight_decay=0.0,
    )  # fmt: skip
    if state is not None:
        optimizer.load_state_dict(state)
    before = folder / "logprobs-before.json"
    if not before.exists():
        write_json(before, _measure(torch, model, device, examples, held_out))
    first = int(checkpoint["batch"]) if checkpoint else 0
    total = steps_of(len(examples), recipe)
    for step in range(first, total):
        loss = _step(torch, model, optimizer, device, batch_at(examples, step, recipe),
                     rate_at(step, total, recipe))  # fmt: skip
        rate = rate_at(step, total, recipe)
        run.add_metrics({"step": step, "train_mean_nll": loss, "learning_rate": rate})
        if observe is not None:
            observe(step + 1, total, loss)
        if (step + 1) % recipe.save_every == 0 or step + 1 == total:
            _save(torch, model, optimizer, run, step + 1)
    last = run.checkpoint()
    with writing(folder):
        shutil.copytree(folder / last["state_path"], folder / ADAPTER, dirs_exist_ok=True)
        (folder / ADAPTER / "optimizer.pt").unlink()
    write_json(folder / "logprobs-after.json", _measure(torch, model, device, examples, held_out))
    outcome = Outcome(
        learning_rate=recipe.learning_rate,
        steps=total,
        state_path=last["state_path"],
        sampler_path=str(folder / ADAPTER),
        before=means(before),
        after=means(folder / "logprobs-after.json"),
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


def _load(base: Path, torch: Any, transformers: Any, device: str) -> Any:  # noqa: ANN401
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    except (OSError, ValueError) as error:
        raise BadBase(f"{base}: transformers cannot load it ({error})") from None
    return model.to(device)


def _sums(torch: Any, model: Any, device: str, example: Example) -> Any:  # noqa: ANN401
    """Return the weighted sum of an example's log-probabilities, with its gradient."""
    ids = torch.tensor(example.ids.astype(np.int64), device=device)
    weights = torch.tensor(example.weights[1:], device=device)
    logits = model(ids[None, :-1]).logits[0].float()
    logprobs = torch.log_softmax(logits, dim=-1).gather(1, ids[1:, None])[:, 0]
    return (logprobs * weights).sum()


def _step(
    torch: Any,  # noqa: ANN401
    model: Any,  # noqa: ANN401
    optimizer: Any,  # noqa: ANN401
    device: str,
    batch: Sequence[Example],
    rate: float,
) -> float:
    """Take a step; one example's activations are in memory at a time. Return the mean loss."""
    weights = sum(float(each.weights[1:].sum()) for each in batch)
    loss = 0.0
    model.train()
    for example in batch:
        part = -_sums(torch, model, device, example) / weights
        part.backward()
        loss += float(part)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss


def _save(torch: Any, model: Any, optimizer: Any, run: RunFolder, step: int) -> None:  # noqa: ANN401
    """Save a checkpoint, and note it once it is whole."""
    name = f"checkpoint-{step:06d}"
    place = run.path / name
    with writing(place):
        model.save_pretrained(place)
        torch.save(optimizer.state_dict(), place / "optimizer.pt")
    run.add_checkpoint({"name": name, "batch": step, "state_path": name})


def _measure(
    torch: Any,  # noqa: ANN401
    model: Any,  # noqa: ANN401
    device: str,
    examples: Sequence[Example],
    held_out: Sequence[Example],
) -> list[dict[str, Any]]:
    """Return the mean log-probability of each example's trained ids."""
    rows = []
    model.eval()
    with torch.no_grad():
        for kind, chosen in (("trained", examples), ("held_out", held_out)):
            for each in chosen:
                mean = float(_sums(torch, model, device, each)) / float(each.weights[1:].sum())
                rows.append({"entry": each.entry, "kind": kind, "logprob": mean})
    return rows
