"""`quorum kaggle report`: a run as one page and one JSON file."""

from pathlib import Path
from typing import Annotated

import typer

from client.escape import printable
from kaggle_notebook.report.collect import collect
from kaggle_notebook.report.show import text_of
from kaggle_notebook.report.write import json_of, write_report


def report(
    folder: Annotated[Path, typer.Argument(help="The session's folder.")] = Path("quorum-session"),
    *,
    out: Annotated[
        Path | None, typer.Option(help="Where to write; default: the session's folder.")
    ] = None,
    journal: Annotated[
        Path | None, typer.Option(help="The server's journal; default: the session's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON, write nothing.")] = False,
) -> None:
    """Write a run's report: report.html and report.json."""
    found = collect(folder, journal)
    if as_json:
        typer.echo(json_of(found), nl=False)
        return
    typer.echo(printable(text_of(found)), nl=False)
    for path in write_report(found, out or folder):
        typer.echo(path)
