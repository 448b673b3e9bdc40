"""The same run at several learning rates, and which is the best."""

import importlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from training.errors import BadFile, Diverged
from training.files import whole_file, write_json
from training.tuning.outcome import AFTER, BEFORE, Outcome
from training.tuning.recipe import Recipe
from training.tuning.service import TIMEOUT_S
from training.tuning.sft import outcome_of, train

REPORT, PICTURE = "sweep.json", "sweep.png"
_NAMES = {"trained": "trained", "held_out": "held out"}


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
    where none is held out. Runs that have ended are not made again, and those of another model,
    corpus or recipe are refused. A rate at which the model diverges is left out: a sweep is there
    to find it.

    Raises:
        Diverged: the model diverges at every rate.
        BadFile: the recipe names no learning rates.
        BadTraces, EmptyCorpus, OutputExists, ServiceFailed: as a run does.
    """
    if not recipe.sweep:
        raise BadFile("recipe: sweep must name learning rates, as in sweep = [1e-4, 2e-4]")
    outcomes: list[Outcome] = []
    diverged: dict[float, Diverged] = {}
    for rate in recipe.sweep:
        place = folder / f"{rate:g}"
        chosen = recipe.model_copy(update={"learning_rate": rate})
        known = outcome_of(corpus, place, model, chosen)
        try:
            outcomes.append(
                known or train(client, corpus, place, model, chosen, timeout_s=timeout_s)
            )
        except Diverged as error:
            diverged[rate] = error
    if not outcomes:
        raise diverged[min(diverged)]
    best = max(outcomes, key=lambda each: each.after.get("held_out", each.after["trained"]))
    write_json(
        folder / REPORT,
        {
            "best": best.learning_rate,
            "runs": [asdict(outcome) for outcome in outcomes],
            "diverged": sorted(diverged),
        },
    )
    _draw(outcomes, best, folder / f"{best.learning_rate:g}", folder / PICTURE)
    return best, outcomes


def _draw(outcomes: Sequence[Outcome], best: Outcome, place: Path, target: Path) -> None:
    """Draw means over learning rates, and each example before and after the best run.

    Where matplotlib is not installed, nothing is drawn.
    """
    try:
        figures = importlib.import_module("matplotlib.figure")
    except ImportError:
        return
    figure = figures.Figure(figsize=(11, 4.5), layout="constrained")
    means, each = figure.subplots(1, 2)
    rates = [outcome.learning_rate for outcome in outcomes]
    befores, afters = (orjson.loads((place / name).read_bytes()) for name in (BEFORE, AFTER))
    for color, kind in enumerate(best.after):
        line = {"color": f"C{color}"}
        values = [outcome.after[kind] for outcome in outcomes]
        means.plot(rates, values, marker="o", label=_NAMES[kind], **line)
        means.axhline(best.before[kind], linestyle=":", label=f"{_NAMES[kind]}, before", **line)
        sides = [
            [row["logprob"] for row in rows if row["kind"] == kind] for rows in (befores, afters)
        ]
        each.scatter(*sides, s=12, alpha=0.7, label=_NAMES[kind], **line)
    means.axvline(best.learning_rate, color="0.8", zorder=0)
    means.set(xscale="log", xlabel="learning rate", ylabel="mean log-probability", title="Runs")
    low, high = min(*each.get_xlim(), *each.get_ylim()), max(*each.get_xlim(), *each.get_ylim())
    each.plot([low, high], [low, high], color="0.6", linewidth=0.8, zorder=0)
    each.set(
        xlim=(low, high), ylim=(low, high), aspect="equal", xlabel="before", ylabel="after",
        title=f"Examples at {best.learning_rate:g}: above the line, likelier than before",
    )  # fmt: skip
    means.legend()
    each.legend()
    with whole_file(target) as partial:
        figure.savefig(partial, format="png", dpi=120)
