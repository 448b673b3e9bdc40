"""The options of `quorum eval`, each declared once."""

from pathlib import Path
from typing import Annotated

import typer

from server.evaluation.errors import SetUnreadable
from server.evaluation.problem import Kind

SetOption = Annotated[
    str,
    typer.Option("--set", help="A set's name (`quorum eval sets`), a file, or hf:OWNER/NAME."),
]
DataOption = Annotated[
    Path | None, typer.Option(help="Read the set from this file: .jsonl, .json, .csv, .parquet.")
]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=COLUMN", help="Which column is what: statement=question."),
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN=VALUE", help="Only rows with this value: source=olympiads."),
]
KindOption = Annotated[Kind | None, typer.Option(help="How answers are compared.")]
FirstOption = Annotated[
    int | None, typer.Option(min=1, help="Only so many problems: the first by hash of their ids.")
]
JournalOption = Annotated[
    Path | None,
    typer.Option(help="Read confidences and outputs from this journal, not the server's own."),
]
WithOption = Annotated[
    list[str] | None,
    typer.Option("--with", metavar="POLICIES", help="Score these policies too: 'attempts=8; …'."),
]
MachineOption = Annotated[
    str, typer.Option(help="The machine whose seconds are told: h100, two-cores, or a file.")
]
RoundsOption = Annotated[int, typer.Option(min=1, help="Orders of attempts that are replayed.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Of intervals and orders: same, same result.")]
PointsOption = Annotated[
    float, typer.Option(min=0.01, help="The difference, in problems, that runs should show.")
]
PageOption = Annotated[
    str | None, typer.Option(metavar="URL", help="Link problems to solves on this server's page.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]
TrackOption = Annotated[
    list[str] | None,
    typer.Option("--track", help="Also log to: tensorboard, wandb or trackio (extra trackers)."),
]


def pairs_of(option: str, given: list[str] | None) -> dict[str, str]:
    """Return the pairs that an option gives, each as NAME=VALUE.

    Raises:
        SetUnreadable: one is written otherwise.
    """
    pairs = {}
    for text in given or []:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name or not value:
            raise SetUnreadable(
                f"{option} {text[:60]!r}: must be two names with = between, as in "
                "--column statement=question and --where source=olympiads"
            )
        pairs[name] = value
    return pairs
