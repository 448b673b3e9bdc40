"""`quorum train rl`."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from client.schema import AnswerKind
from training.problems.read import Problem, read_problems
from training.rl.recipe import RlRecipe
from training.tuning.commands import TrackerOption

RecipeOption = Annotated[str, typer.Option("--recipe", help="rl, or a .toml file of one.")]
HeldOutOption = Annotated[
    Path | None, typer.Option(help="Problems to evaluate on, instead of the recipe's share.")
]
ServeOption = Annotated[
    list[str] | None,
    typer.Option("--serve", help="A setting of the gateway, as in sandbox.kernels=8; repeatable."),
]


def rl_command(  # noqa: PLR0913 - its options
    problems: Annotated[Path, typer.Argument(help="Problems with answers: JSON lines or CSV.")],
    *,
    target: Annotated[Path, typer.Option("--to", help="The run's folder.")],
    model: Annotated[str, typer.Option(help="The base model, by the service's name.")],
    tokenizer: Annotated[Path, typer.Option(help="The folder with the model's tokenizer.json.")],
    recipe: RecipeOption = "rl",
    held_out: HeldOutOption = None,
    start: Annotated[
        str | None, typer.Option(help="Weights to begin with: the state_path of another run.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Instead of the recipe's.")] = None,
    answer_kind: Annotated[AnswerKind, typer.Option(help="What answers are.")] = AnswerKind.INTEGER,
    serve: ServeOption = None,
    tracker: TrackerOption = None,
    url: Annotated[
        str | None,
        typer.Option(envvar="TINKER_BASE_URL", help="The service, where it is not Tinker's own."),
    ] = None,
) -> None:
    """Train by rewards on Tinker, attempts made by a gateway here; stopped, it goes on."""
    # the SDK takes seconds to import; the other commands do without it
    from training.rl.loop import Task  # noqa: PLC0415
    from training.rl.tinker import TinkerLearner  # noqa: PLC0415
    from training.tuning.recipe import load_rl_recipe, with_rate  # noqa: PLC0415
    from training.tuning.service import open_service  # noqa: PLC0415

    chosen = with_rate(load_rl_recipe(recipe), learning_rate)
    trained, held = sides(problems, held_out, chosen)
    task = Task(
        model, tokenizer, trained, held, chosen, answer_kind, arguments(serve or []),
        [path for path in (problems, held_out) if path is not None], start, tuple(tracker or ()),
    )  # fmt: skip
    with open_service(url, Path.cwd()) as client:
        run_and_tell(
            lambda state: TinkerLearner(client, model, chosen, state, start=start), task, target
        )


def sides(
    problems: Path, held_out: Path | None, recipe: RlRecipe
) -> tuple[list[Problem], list[Problem]]:
    """Return the problems to train on and those to evaluate on; none is both."""
    from training.rl.loop import split, without  # noqa: PLC0415

    known = read_problems(problems)
    if held_out is None:
        return split(known, recipe)
    held = read_problems(held_out)
    return without(known, held), held


def arguments(settings: list[str]) -> list[str]:
    """Return settings like `sandbox.kernels=8` as arguments of `quorum serve`."""
    given: list[str] = []
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise typer.BadParameter(f"{setting!r}: must be NAME=VALUE, as in sandbox.kernels=8")
        given += [f"--{name.replace('.', '-').replace('_', '-')}", value]
    return given


def run_and_tell(make_learner: Any, task: Any, target: Path) -> None:  # noqa: ANN401 - see `train_rl`
    """Run with a bar of progress, and tell what came of it."""
    from training.rl.loop import train_rl  # noqa: PLC0415

    console = Console(stderr=True)
    progress = Progress(
        TextColumn("steps"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[reward]}"),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    with progress:
        bar = progress.add_task("steps", total=None, reward="")

        def observe(step: int, total: int, reward: float) -> None:
            told = f"reward {reward:.3f}"
            progress.update(bar, completed=step, total=total, reward=told)

        result = anyio.run(partial(train_rl, make_learner, task, target, observe=observe))
    for name, value in result["evaluation"].items():
        typer.echo(f"{name}: {value:.4g}")
    typer.echo(f"{target}: {result['steps']} steps; adapter {result['checkpoint']['sampler_path']}")
