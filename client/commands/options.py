"""The options of `quorum solve`, as types: what each is called and what its help says."""

from pathlib import Path
from typing import Annotated

import typer

from client.schema import AnswerKind

_ASK = "What to ask for"
_SERVER = "Server"
_FILES = "Files"

ProblemArgument = Annotated[
    str | None,
    typer.Argument(metavar="PROBLEM", help="The statement; - reads it from standard input."),
]
ServerArguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="-- SERVER OPTIONS",
        help="Options of `quorum serve`, after --, for a server started for this call.",
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        envvar="QUORUM_URL",
        help="The server. Default: the one on this machine, or one started for this call.",
        rich_help_panel=_SERVER,
    ),
]
ReadyTimeout = Annotated[
    float,
    typer.Option(min=0.1, help="Seconds until the server must be ready.", rich_help_panel=_SERVER),
]
Attempts = Annotated[
    int | None, typer.Option(help="Attempts at the problem.", rich_help_panel=_ASK)
]
Agree = Annotated[
    int | None, typer.Option(help="Stop at this many equal answers.", rich_help_panel=_ASK)
]
Turns = Annotated[int | None, typer.Option(help="Most turns of an attempt.", rich_help_panel=_ASK)]
Tokens = Annotated[
    int | None, typer.Option(help="Most sampled tokens of an attempt.", rich_help_panel=_ASK)
]
TimeLimit = Annotated[
    float | None, typer.Option(help="Seconds for the problem.", rich_help_panel=_ASK)
]
Time = Annotated[
    float | None,
    typer.Option(
        min=0.1,
        help="Seconds for all problems of --file together: a run, whose budget gives them out.",
        rich_help_panel=_FILES,
    ),
]
Strategy = Annotated[
    str | None,
    typer.Option(help="How attempts are made and chosen, by name.", rich_help_panel=_ASK),
]
Recipe = Annotated[
    str | None,
    typer.Option(
        help="How further engines of the server take part, by name; none: not.",
        rich_help_panel=_ASK,
    ),
]
Kind = Annotated[
    AnswerKind | None,
    typer.Option(help="integer: a contest's, 0-99999; text: any answer.", rich_help_panel=_ASK),
]
Seed = Annotated[int | None, typer.Option(help="Seed of the sampling.", rich_help_panel=_ASK)]
Temperature = Annotated[
    float | None, typer.Option(help="Sampling temperature.", rich_help_panel=_ASK)
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON.")]
Plain = Annotated[bool, typer.Option("--plain", help="Print lines, no live display.")]
AnswerOnly = Annotated[bool, typer.Option("--answer-only", help="Print the answer alone.")]
ProblemFile = Annotated[
    Path | None,
    typer.Option(
        "--file",
        help="Solve a file: JSON lines with id, problem and, to count, answer.",
        rich_help_panel=_FILES,
    ),
]
OutFile = Annotated[
    Path | None,
    typer.Option(
        help="Where the results of --file go; what it holds already is not solved again.",
        rich_help_panel=_FILES,
    ),
]
Parallel = Annotated[
    int, typer.Option(min=1, max=256, help="Problems at once.", rich_help_panel=_FILES)
]
