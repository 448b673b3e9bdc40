"""`quorum preload`: brings model files into the page cache, with progress."""

import sys
from pathlib import Path
from typing import Annotated

import anyio
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from server.preload.errors import PreloadError
from server.preload.plan import DEFAULT_CHUNK_BYTES
from server.preload.preload import (
    DEFAULT_THREADS,
    PreloadOptions,
    PreloadState,
    describe,
    preload,
)
from server.weights import KNOWN, weights_folder

_GIB = 1 << 30
#: Far above any machine's memory: an infinite number is no size.
_MOST_GIB = 1 << 20


def preload_command(
    path: Annotated[
        Path, typer.Argument(help="A model's folder, one file, or a name of `quorum weights list`.")
    ],
    threads: Annotated[int, typer.Option(help="Threads that read.")] = DEFAULT_THREADS,
    chunk_gib: Annotated[
        float, typer.Option(min=0.001, max=_MOST_GIB, help="A thread's piece of a file, in GiB.")
    ] = DEFAULT_CHUNK_BYTES / _GIB,
    keep_free: Annotated[
        float | None,
        typer.Option(
            min=0, max=_MOST_GIB, help="Memory to leave free, in GiB; 2 or 5 % of all by default."
        ),
    ] = None,
) -> None:
    """Bring a model's files into the page cache, so that an engine starts from memory."""
    try:
        options = PreloadOptions(
            threads=threads,
            chunk_bytes=int(chunk_gib * _GIB),
            keep_free_bytes=None if keep_free is None else int(keep_free * _GIB),
        )
        state = _run(_of_name(path), options)
    except PreloadError as error:
        sys.stderr.write(f"quorum: {error}\n")
        raise typer.Exit(1) from None
    typer.echo(describe(state))
    if state.failed:
        raise typer.Exit(1)


def _of_name(path: Path) -> Path:
    """Return the file of known weights, where the path is none of its own."""
    known = KNOWN.get(str(path))
    return path if known is None or path.exists() else weights_folder() / known.file_name


def _run(path: Path, options: PreloadOptions) -> PreloadState:
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(path.name or str(path), total=None)
        return anyio.run(preload, path, options, _Shown(bar, task))


class _Shown:
    """Moves a progress bar."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar = bar
        self._task = task

    def __call__(self, state: PreloadState) -> None:
        """Show how far it is."""
        done = state.resident + state.read
        self._bar.update(self._task, total=state.total, completed=done)
