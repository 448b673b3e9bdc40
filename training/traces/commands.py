"""`quorum train traces`: attempts as token ids, from a server or from other tools."""

from pathlib import Path
from typing import Annotated

import anyio
import numpy as np
import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from client.http import DEFAULT_URL
from client.schema import AnswerKind
from training.files import whole_file, write_json
from training.problems.read import read_problems
from training.provenance import provenance
from training.traces.generate import Plan, generate
from training.traces.read import read_traces

app = typer.Typer(
    help="Generate traces over the server, or import those of other tools.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command("import")
def import_command(
    sources: Annotated[list[Path], typer.Argument(help="Harmony traces, or exports.")],
    *,
    target: Annotated[Path, typer.Option("--to", help="The file of JSON lines to write.")],
    model: Annotated[str, typer.Option(help="The model, where the files do not say.")] = "",
    source: Annotated[str, typer.Option(help="The problems' source, where they do not say.")] = "",
    licence: Annotated[str, typer.Option(help="Its licence, where they do not say.")] = "",
) -> None:
    """Write traces of other tools in the form of a journal's export, with masks."""
    given = {"model": model, "source": source, "licence": licence}
    count = tokens = 0
    with whole_file(target) as partial, partial.open("wb") as file:
        for path in sources:
            for trace in read_traces(path):
                told = {name: value for name, value in given.items() if value} | trace.values
                row = {**told, "ids": np.ascontiguousarray(trace.ids), "mask": trace.mask}
                file.write(orjson.dumps(row, option=_NUMPY))
                count += 1
                tokens += trace.sampled
    write_json(target.with_suffix(".origin.json"), provenance("traces import", given, sources))
    typer.echo(f"{target}: {count} traces, {tokens} sampled tokens")


_NUMPY = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


@app.command("generate")
def generate_command(  # noqa: PLR0913 - its options
    problems: Annotated[Path, typer.Argument(help="Problems: JSON lines or CSV.")],
    *,
    target: Annotated[Path, typer.Option("--to", help="The folder to write.")],
    url: Annotated[str, typer.Option(envvar="QUORUM_URL", help="The server.")] = DEFAULT_URL,
    stages: Annotated[
        list[int] | None,
        typer.Option("--stage", min=1, help="Attempts of a stage; repeatable. Else one of 8."),
    ] = None,
    enough: Annotated[
        int, typer.Option(min=1, help="Right attempts after which a problem has no more stages.")
    ] = 4,
    parallel: Annotated[int, typer.Option(min=1, help="Solves at a time.")] = 1,
    temperature: Annotated[
        float | None, typer.Option(min=0, max=5, help="Of sampling; else the server's.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Most tokens an attempt.")] = None,
    time_limit: Annotated[float | None, typer.Option(min=1, help="Seconds of a solve.")] = None,
    answer_kind: Annotated[AnswerKind, typer.Option(help="What answers are.")] = AnswerKind.INTEGER,
    seed: Annotated[int, typer.Option(min=0, help="Of the first attempt.")] = 0,
) -> None:
    """Solve problems many times, no vote stopping an attempt; stopped, it goes on."""
    plan = Plan(
        stages=tuple(stages or (8,)),
        enough=enough,
        parallel=parallel,
        temperature=temperature,
        max_tokens=max_tokens,
        time_limit_s=time_limit,
        answer_kind=answer_kind,
        seed=seed,
    )
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("solves"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[right]}"),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    asked = read_problems(problems)
    with progress:
        bar = progress.add_task("solves", total=None, right="")

        def observe(done: int, total: int, right: int) -> None:
            progress.update(bar, completed=done, total=total, right=f"{right} right")

        async def run() -> int:
            return await generate(url, asked, target, plan, observe=observe)

        count = anyio.run(run)
    typer.echo(f"{target}: {count} traces of {len(asked)} problems")
