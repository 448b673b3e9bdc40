"""`quorum train sft` and `sweep`: supervised training on Tinker."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

TrackerOption = Annotated[
    list[str] | None, typer.Option("--tracker", help="wandb or tensorboard; repeatable.")
]
CorpusArgument = Annotated[Path, typer.Argument(help="A corpus's folder.")]
TargetOption = Annotated[Path, typer.Option("--to", help="The run's folder.")]
ModelOption = Annotated[str, typer.Option(help="The base model, by the service's name.")]
RecipeOption = Annotated[
    str, typer.Option("--recipe", help="sft, cot, tir, or a .toml file of one.")
]
UrlOption = Annotated[
    str | None,
    typer.Option(envvar="TINKER_BASE_URL", help="The service, where it is not Tinker's own."),
]


def sft_command(
    corpus: CorpusArgument,
    *,
    target: TargetOption,
    model: ModelOption,
    recipe: RecipeOption = "sft",
    learning_rate: Annotated[float | None, typer.Option(help="Instead of the recipe's.")] = None,
    url: UrlOption = None,
    tracker: TrackerOption = None,
) -> None:
    """Train a LoRA on a corpus, on Tinker; stopped, it goes on from its last checkpoint."""
    # the SDK takes seconds to import; the other commands do without it
    from training.tuning.recipe import load_recipe, with_rate  # noqa: PLC0415
    from training.tuning.service import open_service  # noqa: PLC0415
    from training.tuning.sft import train  # noqa: PLC0415

    chosen = with_rate(load_recipe(recipe), learning_rate)
    with open_service(url, Path.cwd()) as client, _progress() as progress:
        bar = progress.add_task("steps", total=None, loss="")

        def observe(step: int, total: int, loss: float) -> None:
            progress.update(bar, completed=step, total=total, loss=f"loss {loss:.4f}")

        outcome = train(
            client, corpus, target, model, chosen, trackers=tuple(tracker or ()), observe=observe
        )
    for kind, before in outcome.before.items():
        typer.echo(f"{kind}: log-probability {before:.4f} before, {outcome.after[kind]:.4f} after")
    typer.echo(f"{target}: {outcome.steps} steps; adapter {outcome.sampler_path}")


def sweep_command(
    corpus: CorpusArgument,
    *,
    target: Annotated[Path, typer.Option("--to", help="The folder of the runs' folders.")],
    model: ModelOption,
    recipe: RecipeOption = "sft",
    url: UrlOption = None,
) -> None:
    """Train once at each of a recipe's learning rates, and choose the best by log-probability."""
    from training.tuning.recipe import load_recipe  # noqa: PLC0415
    from training.tuning.service import open_service  # noqa: PLC0415
    from training.tuning.sweep import sweep  # noqa: PLC0415

    with open_service(url, Path.cwd()) as client:
        best, outcomes = sweep(client, corpus, target, model, load_recipe(recipe))
    for outcome in outcomes:
        told = ", ".join(f"{kind} {value:.4f}" for kind, value in outcome.after.items())
        mark = " (best)" if outcome is best else ""
        typer.echo(f"learning rate {outcome.learning_rate:g}: {told}{mark}")
    typer.echo(f"{target}: adapter {best.sampler_path}")


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("steps"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
