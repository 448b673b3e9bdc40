"""`quorum train local` and `serve`: small models on this machine."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from client.schema import AnswerKind
from training.problems.read import Problem, read_problems
from training.rl.commands import HeldOutOption, ServeOption, arguments, sides
from training.tuning.commands import TrackerOption
from training.tuning.recipe import load_any


def local_command(  # noqa: PLR0913 - its options
    corpus: Annotated[Path | None, typer.Argument(help="A corpus's folder.")] = None,
    *,
    base: Annotated[Path, typer.Option(help="The base model's folder.")],
    target: Annotated[Path, typer.Option("--to", help="The run's folder.")],
    stage: Annotated[
        str, typer.Option(help="sft, cot, tir, rl, or a .toml file; full: cot, tir, rl.")
    ] = "sft",
    problems: Annotated[
        Path | None, typer.Option(help="Problems with answers, for rewards.")
    ] = None,
    held_out: HeldOutOption = None,
    start: Annotated[Path | None, typer.Option(help="An adapter's folder to begin with.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Instead of the recipe's.")] = None,
    bits: Annotated[
        int, typer.Option(help="4, 8 or 16 of a base weight; 16 where the platform has no fewer.")
    ] = 16,
    answer_kind: Annotated[AnswerKind, typer.Option(help="What answers are.")] = AnswerKind.INTEGER,
    serve: ServeOption = None,
    tracker: TrackerOption = None,
) -> None:
    """Train a LoRA for a small model on this machine; stopped, it goes on."""
    from training.local.stages import Inputs, train_stages  # noqa: PLC0415 - loads pyarrow

    if bits not in {4, 8, 16}:
        raise typer.BadParameter(f"--bits {bits}: must be 4, 8 or 16")
    trained, held = _sides(stage, problems, held_out)
    inputs = Inputs(
        base=base,
        corpus=corpus,
        problems=trained,
        held_out=held,
        files=[path for path in (problems, held_out) if path is not None],
        answer_kind=answer_kind,
        arguments=arguments(serve or []),
        start=start,
        bits=bits,
        trackers=tuple(tracker or ()),
    )
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.fields[stage]}"), BarColumn(), MofNCompleteColumn(),
        TimeRemainingColumn(), TextColumn("{task.fields[value]}"),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    with progress:
        bar = progress.add_task("steps", total=None, stage=stage, value="")

        def observe(name: str, step: int, total: int, value: float) -> None:
            progress.update(bar, completed=step, total=total, stage=name, value=f"{value:.4f}")

        told = train_stages(stage, inputs, target, learning_rate=learning_rate, observe=observe)
    for name, figures in told.items():
        for line in _lines(figures):
            typer.echo(f"{name}: {line}")
    typer.echo(f"{target}: adapter {target / 'adapter'}")


def _sides(
    stage: str, problems: Path | None, held_out: Path | None
) -> tuple[list[Problem], list[Problem]]:
    """Return the problems of a stage that has rewards, and those that it is evaluated on."""
    from training.rl.recipe import RlRecipe  # noqa: PLC0415

    if problems is None:
        return [], []
    recipe = load_any("rl" if stage == "full" else stage)
    if not isinstance(recipe, RlRecipe):
        return read_problems(problems), []
    return sides(problems, held_out, recipe)


def _lines(figures: dict[str, Any]) -> list[str]:
    if "left_out" in figures:
        return [f"left out: {figures['left_out']}"]
    lines = [f"{figures['steps']} steps"]
    for kind, before in figures.get("before", {}).items():
        after = figures["after"][kind]
        lines.append(f"{kind}: log-probability {before:.4f} before, {after:.4f} after")
    lines += [f"{name}: {value:.4g}" for name, value in figures.get("evaluation", {}).items()]
    return lines


def serve_command(
    model: Annotated[Path, typer.Argument(help="A model's folder, such as a merged one.")],
    *,
    adapter: Annotated[Path | None, typer.Option(help="An adapter's folder, unmerged.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: a free one.")] = 8_200,
    context: Annotated[int, typer.Option(min=512, help="Most tokens of a request.")] = 8_192,
    chunk: Annotated[
        int, typer.Option(min=1, help="Tokens sampled before a closed stream is noticed.")
    ] = 64,
) -> None:
    """Serve a small model by transformers, for a gateway with engine.kind openai."""
    from training.local.policy import open_sampler  # noqa: PLC0415 - loads torch
    from training.rl.bridge import open_bridge  # noqa: PLC0415

    sampler = open_sampler(model, adapter)

    async def serve() -> None:
        bridge = partial(open_bridge, sampler, model.name, context=context, chunk=chunk)
        async with bridge(port=port) as opened:
            typer.echo(opened.url)
            await opened.check()

    anyio.run(serve)
