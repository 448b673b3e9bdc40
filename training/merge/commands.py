"""`quorum train merge`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from training.merge.merge import LEAST_COSINE, REPORT, is_small, merge
from training.merge.report import TensorReport


def merge_command(
    base: Annotated[Path, typer.Argument(help="The base model's folder.")],
    adapter: Annotated[Path, typer.Argument(help="The adapter's folder, Tinker's or PEFT's.")],
    target: Annotated[Path, typer.Argument(help="The folder to write.")],
    *,
    least_cosine: Annotated[
        float,
        typer.Option(
            min=-1, max=1, help="Refuse when less of a change in MXFP4 would be left; else warn."
        ),
    ] = LEAST_COSINE,
) -> None:
    """Merge a LoRA adapter into a model's BF16 and MXFP4 weights; stopped, it goes on."""
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("tensors"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[tensor]}", markup=False),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    with progress:
        bar = progress.add_task("tensors", total=None, tensor="")

        def observe(tensor: str, done: int, total: int) -> None:
            progress.update(bar, completed=done, total=total, tensor=tensor)

        reports = merge(base, adapter, target, least_cosine=least_cosine, observe=observe)
    Console().print(_table(reports))
    if not any(each.wanted_norm for each in reports):
        typer.echo(
            f"warning: {adapter} changes nothing: all its matrices A or B are zero, or lora_alpha "
            "is; was it saved after it was trained?",
            err=True,
        )
    small = [each for each in reports if is_small(each, least_cosine)]
    if small:
        least = min(small, key=lambda each: each.cosine)
        typer.echo(
            f"warning: of {len(small)} tensors' small changes much was rounded away, most of "
            f"{least.name} (cosine {least.cosine:.2f}, {least.format}); serve the adapter unmerged "
            "to keep them",
            err=True,
        )
    typer.echo(f"{target}: {len(reports)} tensors changed; {target / REPORT} has all figures")


def _table(reports: list[TensorReport]) -> Table:
    table = Table("tensor", "format", "changed", "change", "kept", "cosine", "error")
    for column in table.columns[1:]:
        column.justify = "right"
    for each in reports:
        relative = each.wanted_norm / each.base_norm if each.base_norm else 0.0
        kept = each.applied_norm / each.wanted_norm if each.wanted_norm else 1.0
        table.add_row(
            each.name, each.format, f"{100 * each.changed / max(each.weights, 1):.1f} %",
            f"{100 * relative:.2f} %", f"{100 * kept:.0f} %", f"{each.cosine:.4f}",
            f"{each.error:.3f}",
        )  # fmt: skip
    return table
