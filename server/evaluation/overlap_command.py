"""`quorum eval overlap`: whether a corpus holds a set's problems."""

from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from server.errors import QuorumServerError
from server.evaluation.contamination import DEFAULT_WORDS, documents, overlaps
from server.evaluation.load import load_set
from server.evaluation.options import (
    ColumnOption,
    DataOption,
    JsonOption,
    SetOption,
    WhereOption,
    pairs_of,
)

#: What the command exits with: problems were found, and it cannot be told whether any are there.
OVERLAP, UNKNOWN = 1, 2


def overlap_command(
    corpus: Annotated[
        list[Path], typer.Argument(help="Text files, one document a line, or tables of rows.")
    ],
    *,
    set_: SetOption,
    data: DataOption = None,
    column: ColumnOption = None,
    where: WhereOption = None,
    words: Annotated[
        int, typer.Option(min=5, help="Words in a row that count as overlap.")
    ] = DEFAULT_WORDS,
    as_json: JsonOption = False,
) -> None:
    """Check whether a corpus holds a set's problems: n-gram overlap of words.

    Exits with 1 where it holds any, with 2 where that cannot be told.
    """
    try:
        chosen = load_set(
            set_, data=data, columns=pairs_of("column", column), where=pairs_of("where", where)
        )
        texts = (text for path in corpus for text in documents(path, words))
        found = overlaps(chosen.problems, texts, words)
    except QuorumServerError as error:
        # What is not known is no overlap: a script must tell one from the other.
        typer.echo(str(error), err=True)
        raise typer.Exit(UNKNOWN) from None
    hit = sorted((one for one in found if one.grams), key=lambda one: -one.share)
    if as_json:
        rows = [
            {"problem": o.problem, "share": o.share, "ngrams": o.grams, "document": o.document}
            for o in found
        ]
        typer.echo(orjson.dumps(rows).decode())
    else:
        table = Table("Problem", "Share", "n-grams", "First document")
        for one in hit:
            table.add_row(one.problem, f"{one.share:.0%}", str(one.grams), str(one.document))
        if hit:
            Console().print(table)
        typer.echo(f"{len(hit)} of {len(found)} problems share {words} words in a row with it")
    if hit:
        raise typer.Exit(OVERLAP)
