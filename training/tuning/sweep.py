"""The same run at several learning rates, and which is the best."""

import importlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from training.errors import BadFile
from training.files import whole_file, write_json
from training.tuning.outcome import RESULT, Outcome
from training.tuning.recipe import Recipe
from training.tuning.service import TIMEOUT_S
from training.tuning.sft import train

REPORT, PICTURE = "sweep.json", "sweep.png"


def sweep(
    client: Any,  # noqa: ANN401 - the SDK's service client
    corpus: Path,
    folder: Path,
    model: str,
    recipe: Recipe,
    *,
    timeout_s: float = TIMEOUT_S,
) -> tuple[Outcome, list[Outcome]]:
    """Train at each learning rate of the recipe, in a folder each; return the best and all.

    The best has the highest mean log-probability of the held-out examples, or of the trained ones
    where none is held out. Runs that have ended are not made again.

    Raises:
        BadFile: the recipe names no learning rates.
        EmptyCorpus, OutputExists, ServiceFailed: as a run does.
    """
    if not recipe.sweep:
        raise BadFile("recipe: sweep must name learning rates, as in sweep = [1e-4, 2e-4]")
    outcomes = []
    for rate in recipe.sweep:
        place = folder / f"{rate:g}"
        if (place / RESULT).exists():
            outcomes.append(Outcome(**orjson.loads((place / RESULT).read_bytes())))
            continue
        chosen = recipe.model_copy(update={"learning_rate": rate})
        outcomes.append(train(client, corpus, place, model, chosen, timeout_s=timeout_s))
    best = max(outcomes, key=lambda each: each.after.get("held_out", each.after["trained"]))
    write_json(
        folder / REPORT,
        {"best": best.learning_rate, "runs": [asdict(outcome) for outcome in outcomes]},
    )
    _draw(outcomes, folder / PICTURE)
    return best, outcomes


def _draw(outcomes: Sequence[Outcome], target: Path) -> None:
    """Draw log-probabilities over learning rates, where matplotlib is installed."""
    try:
        figures = importlib.import_module("matplotlib.figure")
    except ImportError:
        return
    figure = figures.Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    rates = [outcome.learning_rate for outcome in outcomes]
    for kind in outcomes[0].after:
        axes.plot(rates, [each.after[kind] for each in outcomes], marker="o", label=kind)
        axes.axhline(outcomes[0].before[kind], linestyle=":", label=f"{kind}, before")
    axes.set(xscale="log", xlabel="learning rate", ylabel="mean log-probability")
    axes.legend()
    with whole_file(target) as partial:
        figure.savefig(partial, format="png")
