"""`quorum kaggle push|dataset|model|status`: shows what would be sent; `--yes` sends it."""

from pathlib import Path
from typing import Annotated

import typer

from client.escape import one_line
from kaggle_notebook.build.command import FOLDER
from kaggle_notebook.build.locate import MANIFEST
from kaggle_notebook.bundle import manifest as manifests
from kaggle_notebook.publish import dataset as datasets
from kaggle_notebook.publish import model as models
from kaggle_notebook.publish import notebook as notebooks
from kaggle_notebook.publish.account import open_account
from kaggle_notebook.publish.names import dataset_name
from kaggle_notebook.publish.staging import inspect

Yes = Annotated[bool, typer.Option("--yes", help="Do it; without, only show what would be done.")]
Title = Annotated[str | None, typer.Option(help="The title; default: made from the name.")]
Notes = Annotated[str | None, typer.Option(help="A note for the version.")]
Public = Annotated[bool, typer.Option("--public", help="Everyone can see it.")]
_DRY = "nothing was sent: add --yes to do it"


def push(
    folder: Annotated[
        Path | None, typer.Argument(help="The notebook's folder; default: the package's own.")
    ] = None,
    *,
    yes: Yes = False,
) -> None:
    """Push the notebook, which runs it on Kaggle."""
    folder = folder or FOLDER
    for line in notebooks.plan(folder):
        typer.echo(line)
    if not yes:
        typer.echo(_DRY)
        return
    typer.echo(one_line(notebooks.push(open_account(), folder)))


def dataset(
    folder: Annotated[Path, typer.Argument(help="The folder, such as a bundle.")],
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="The data set.")],
    *,
    title: Title = None,
    licence: Annotated[str, typer.Option(help="Kaggle's name of the licence.")] = "apache-2.0",
    notes: Notes = None,
    public: Public = False,
    yes: Yes = False,
) -> None:
    """Make a data set of a folder, or a new version; an upload that was cut goes on."""
    if (folder / MANIFEST).is_file():
        manifests.verify(folder, manifests.read(folder))
    request = datasets.DatasetRequest(
        name=name,
        upload=inspect(folder),
        title=title or "",
        licence=licence,
        public=public,
        notes=notes or "",
    )
    datasets.check(request)
    typer.echo(f"{'uploading' if yes else 'would upload'} {folder} as data set {name}")
    for line in request.upload.lines():
        typer.echo(line)
    if not yes:
        typer.echo(_DRY)
        return
    typer.echo(one_line(datasets.publish(open_account(), request, typer.echo)))


def model(
    folder: Annotated[Path, typer.Argument(help="The folder with the weights.")],
    name: Annotated[str, typer.Argument(metavar=models.FORM, help="The variation.")],
    *,
    title: Title = None,
    licence: Annotated[str, typer.Option(help="Kaggle's name of the licence.")] = "Apache 2.0",
    notes: Notes = None,
    public: Public = False,
    yes: Yes = False,
) -> None:
    """Make a model's variation of a folder, or a new version; an upload that was cut goes on."""
    request = models.ModelRequest(
        name=name,
        upload=inspect(folder),
        title=title or "",
        licence=licence,
        public=public,
        notes=notes or "",
    )
    models.check(request)
    typer.echo(f"{'uploading' if yes else 'would upload'} {folder} as model {name}")
    for line in request.upload.lines():
        typer.echo(line)
    if not yes:
        typer.echo(_DRY)
        return
    typer.echo(one_line(models.publish(open_account(), request, typer.echo)))


def status(
    name: Annotated[
        str | None, typer.Argument(metavar="OWNER/NAME", help="The notebook; default: --folder's.")
    ] = None,
    *,
    dataset: Annotated[str | None, typer.Option(help="Ask after this data set instead.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="The notebook's folder; default: the package's own.")
    ] = None,
) -> None:
    """Tell how the notebook's last run stands, or whether a data set is ready."""
    if dataset:
        dataset_name(dataset)
        account = open_account()
        state = account.call("the data set's status", account.api.dataset_status, dataset)
        typer.echo(one_line(f"{dataset}: {state}"))
        return
    asked = name or str(notebooks.read_metadata(folder or FOLDER)["id"])
    typer.echo(one_line(notebooks.status(open_account(), asked)))
