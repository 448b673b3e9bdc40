"""Fetch the weights of a language model, or list those that are known."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from server.weights import cache
from server.weights.cache import size_text
from server.weights.errors import WeightsError
from server.weights.known import DEFAULT, KNOWN, KnownWeights
from server.weights.progress import ProgressBar
from server.weights.pull import partial_path, pull

app = typer.Typer(
    help="Fetch the weights of a language model, or list those that are known.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command("pull")
def pull_command(
    name: Annotated[str, typer.Argument(help="A name that `list` shows.")] = DEFAULT.name,
    path: Annotated[
        Path | None, typer.Option(help="Copy this file of the same weights instead of fetching.")
    ] = None,
) -> None:
    """Fetch weights into the cache; stopped in the middle, it goes on where it was."""
    with _stops_cleanly(), ProgressBar() as progress:
        fetched = pull(name, path=path, observer=progress)
    typer.echo(fetched)


@app.command("list")
def list_command() -> None:
    """List the known weights and what of them is in the cache."""
    folder = cache.weights_folder()
    for weights in KNOWN.values():
        size = size_text(weights.size_bytes)
        typer.echo(f"{weights.name}  {size}  {weights.licence}  {_state(folder, weights)}")
    typer.echo(f"cache: {folder}")


def _state(folder: Path, weights: KnownWeights) -> str:
    """Return what is in the cache, judged without reading the whole file."""
    target = folder / weights.file_name
    partial = partial_path(target)
    if cache.is_there(target):
        if target.stat().st_size != weights.size_bytes:
            return "damaged: pull again"
        return "ready" if cache.is_verified(target, weights) else "here, not checked yet"
    if cache.is_there(partial) and partial.stat().st_size:
        return f"partly here ({size_text(partial.stat().st_size)}): pull again to go on"
    return "not here"


@contextmanager
def _stops_cleanly() -> Iterator[None]:
    """Let a request to terminate unwind, so that no pip outlives the command."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        del frame
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def main() -> None:
    """Run the commands by themselves: `python -m server.weights.commands`."""
    try:
        app()
    except WeightsError as error:
        sys.stderr.write(f"quorum: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
