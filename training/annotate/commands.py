"""`quorum train annotations`: check what was said of traces."""

from itertools import combinations
from pathlib import Path
from typing import Annotated

import typer

from training.annotate.reflections import agreement, faults, read_spans
from training.traces.read import read_traces

app = typer.Typer(
    help="Check reflections on traces, and how far their writers agree.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command("check")
def check_command(
    reflections: Annotated[Path, typer.Argument(help="A reflections.csv.")],
    traces: Annotated[list[Path], typer.Argument(help="The traces that it is about.")],
) -> None:
    """Check reflections by the rules, and print how far each two annotators agree."""
    spans = read_spans(reflections)
    lengths = {
        (str(trace.values.get("solve_id", "")), int(trace.values.get("attempt", 0))): len(trace.ids)
        for path in traces
        for trace in read_traces(path)
    }
    found = faults(spans, lengths)
    for fault in found:
        typer.echo(fault)
    for one, other in combinations(sorted({span.annotator for span in spans}), 2):
        kappa = agreement(spans, one, other)
        told = "no span in common" if kappa is None else f"kappa {kappa:.2f}"
        typer.echo(f"{one}, {other}: {told}")
    typer.echo(f"{reflections}: {len(spans)} spans, {len(found) or 'no'} faults")
    if found:
        raise typer.Exit(1)
