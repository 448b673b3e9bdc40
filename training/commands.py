"""Train: from solved problems to a better model, on the same server."""

import typer

from training.merge.commands import merge_command

app = typer.Typer(
    help="Train: from solved problems to a better model, on the same server.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.command("merge")(merge_command)
