"""`quorum train genselect`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import anyio
import typer

from client.http import DEFAULT_URL
from client.schema import MAX_SEED
from training.genselect.generate import Plan, generate
from training.traces.answers import given_answers


def genselect_command(  # noqa: PLR0913 - its options
    sources: Annotated[list[Path], typer.Argument(help="Traces of right and wrong attempts.")],
    *,
    target: Annotated[Path, typer.Option("--to", help="The folder to write.")],
    url: Annotated[str, typer.Option(envvar="QUORUM_URL", help="The server.")] = DEFAULT_URL,
    candidates: Annotated[
        int, typer.Option(min=2, max=16, help="Solutions of a question at most.")
    ] = 4,
    per_problem: Annotated[int, typer.Option(min=1, help="Most questions of a problem.")] = 4,
    characters: Annotated[
        int, typer.Option(min=100, help="Characters of a solution that are shown, its end.")
    ] = 3_000,
    samples: Annotated[int, typer.Option(min=1, max=64, help="Choices of each question.")] = 4,
    answers: Annotated[
        Path | None, typer.Option(help="Right answers: JSON lines or CSV with id and answer.")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0, max=5, help="Of sampling.")] = 0.8,
    max_tokens: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Most tokens of a choice.")
    ] = 1_024,
    parallel: Annotated[int, typer.Option(min=1, help="Questions at a time.")] = 2,
    seed: Annotated[
        int, typer.Option(min=0, max=MAX_SEED, help="Of solutions, order and sampling.")
    ] = 0,
) -> None:
    """Have the served model choose among solutions of traces; its choices are traces as well."""
    plan = Plan(
        candidates, per_problem, characters, samples, temperature, max_tokens, parallel, seed
    )

    with given_answers(answers) as known:
        figures = anyio.run(partial(generate, url, sources, target, plan, answers=known))
    typer.echo(
        f"{target}: {figures['traces']} choices at {figures['questions']} questions on "
        f"{figures['problems']} problems, {figures['right']} right"
    )
