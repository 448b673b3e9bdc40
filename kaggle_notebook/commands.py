"""The contest on Kaggle: notebook, offline bundle, publishing and run report."""

import typer

from kaggle_notebook.build.command import build
from kaggle_notebook.bundle.command import bundle

app = typer.Typer(
    help="The contest on Kaggle: notebook, offline bundle, publishing and run report.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.command("build")(build)
app.command("bundle")(bundle)
