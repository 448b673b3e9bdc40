"""`quorum train export` and `upload`."""

from pathlib import Path
from typing import Annotated

import typer

from training.publish.upload import inspect, upload


def export_command(
    path: Annotated[str, typer.Argument(help="tinker://…: a checkpoint's state_path.")],
    *,
    target: Annotated[Path, typer.Option("--to", help="The adapter's folder.")],
    url: Annotated[
        str | None,
        typer.Option(envvar="TINKER_BASE_URL", help="The service, where it is not Tinker's own."),
    ] = None,
) -> None:
    """Fetch an adapter that was trained on Tinker, for `quorum train merge`."""
    from training.publish.export import export  # noqa: PLC0415 - the SDK takes seconds to import
    from training.tuning.service import open_service  # noqa: PLC0415

    with open_service(url, Path.cwd()) as client:
        export(client, path, target)
    typer.echo(f"{target}: the adapter of {path}")


def upload_command(
    folder: Annotated[Path, typer.Argument(help="A merged model, an adapter or a corpus.")],
    name: Annotated[str, typer.Argument(help="OWNER/NAME, of models with /FRAMEWORK/VARIATION.")],
    *,
    title: Annotated[
        str | None, typer.Option(help="The title; default: made from the name.")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Kaggle's name of the licence.")] = None,
    public: Annotated[bool, typer.Option("--public", help="Everyone can see it.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without, only show what would be done.")
    ] = False,
) -> None:
    """Check an output of training, and publish it on Kaggle."""
    given = {"--title": title, "--licence": licence}
    arguments = [part for option, value in given.items() if value for part in (option, value)]
    arguments += ["--public"] * public + ["--yes"] * yes
    upload(inspect(folder), name, arguments)
