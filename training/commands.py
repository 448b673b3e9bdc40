"""Train: from solved problems to a better model, on the same server."""

import typer

from training.alternates.commands import alternates_command
from training.annotate.commands import app as annotations_app
from training.corpus.commands import corpus_command
from training.genselect.commands import genselect_command
from training.local.commands import local_command, serve_command
from training.merge.commands import merge_command
from training.problems.commands import app as problems_app
from training.publish.commands import export_command, upload_command
from training.rl.commands import rl_command
from training.traces.commands import app as traces_app
from training.tuning.commands import sft_command, sweep_command

app = typer.Typer(
    help="Train: from solved problems to a better model, on the same server.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
app.command("alternates")(alternates_command)
app.command("genselect")(genselect_command)
app.command("corpus")(corpus_command)
app.command("sft")(sft_command)
app.command("rl")(rl_command)
app.command("local")(local_command)
app.command("serve")(serve_command)
app.command("sweep")(sweep_command)
app.command("export")(export_command)
app.command("merge")(merge_command)
app.command("upload")(upload_command)
app.add_typer(problems_app, name="problems")
app.add_typer(traces_app, name="traces")
app.add_typer(annotations_app, name="annotations")
