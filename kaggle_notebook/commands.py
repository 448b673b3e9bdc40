"""The contest on Kaggle: notebook, offline bundle, publishing and run report."""

import typer

from kaggle_notebook.build.command import build
from kaggle_notebook.bundle.command import bundle
from kaggle_notebook.publish.commands import dataset, model, push, status
from kaggle_notebook.report.command import report

app = typer.Typer(
    help="The contest on Kaggle: notebook, offline bundle, publishing and run report.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
for _command in (build, bundle, push, dataset, model, status, report):
    app.command(_command.__name__)(_command)
