"""`quorum train alternates`."""

from pathlib import Path
from typing import Annotated

import anyio
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from client.http import DEFAULT_URL
from client.schema import MAX_SEED
from training.alternates.choose import Caps
from training.alternates.generate import Plan, Told, generate
from training.annotate.reflections import named_places, read_spans
from training.traces.answers import given_answers


def alternates_command(  # noqa: PLR0913 - its options
    sources: Annotated[list[Path], typer.Argument(help="Traces of the model that is served.")],
    *,
    target: Annotated[Path, typer.Option("--to", help="The folder to write.")],
    url: Annotated[str, typer.Option(envvar="QUORUM_URL", help="The server.")] = DEFAULT_URL,
    count: Annotated[int, typer.Option(min=1, max=5, help="Continuations of a position.")] = 3,
    per_trace: Annotated[int, typer.Option(min=1, help="Most positions of a trace.")] = 4,
    per_problem: Annotated[int, typer.Option(min=1, help="Most positions of a problem.")] = 16,
    most: Annotated[int, typer.Option(min=1, help="Most positions in all.")] = 1_000,
    least_priority: Annotated[
        float, typer.Option(min=0, max=1, help="Least divergence of right and wrong siblings.")
    ] = 0.0,
    reflections: Annotated[
        Path | None, typer.Option(help="A reflections.csv: positions that it names come first.")
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(help="Right answers: JSON lines or CSV with id and answer.")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0, max=5, help="Of sampling.")] = 0.8,
    max_tokens: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Most tokens of a continuation.")
    ] = 512,
    parallel: Annotated[int, typer.Option(min=1, help="Traces at a time.")] = 2,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Of the first position.")] = 0,
) -> None:
    """Go on otherwise at the paragraphs of traces; stopped, it goes on where it was."""
    caps = Caps(per_trace, per_problem, most, least_priority)
    plan = Plan(count, caps, temperature, max_tokens, parallel, seed)
    named = frozenset(named_places(read_spans(reflections)) if reflections else ())
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("positions"), BarColumn(), MofNCompleteColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    with progress, given_answers(answers) as known:
        told = Told(named, known)
        bar = progress.add_task("positions", total=None)

        def observe(done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total)

        async def run() -> dict[str, int]:
            return await generate(url, sources, target, plan, known=told, observe=observe)

        figures = anyio.run(run)
    typer.echo(f"{target}: {figures['alternates']} alternates at {figures['positions']} positions")
