"""Right answers for traces that do not bring theirs, as a journal's do not."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from training.errors import BadTraces
from training.problems.read import read_rows
from training.traces.read import read_traces
from training.traces.trace import Trace


def read_column(path: Path | None, wanted: str) -> dict[str, str]:
    """Return a column of a file of problems, JSON lines or CSV, by id; no file has none.

    Raises:
        BadTraces: the file cannot be read, or a row lacks the id or the column.
    """
    if path is None:
        return {}
    try:
        return {str(row["id"]): str(row[wanted]) for row in read_rows(path)}
    except KeyError as error:
        raise BadTraces(f"{path}: each row must have id and {wanted}, one lacks {error}") from None


def traces_with(sources: Iterable[Path], truths: Mapping[str, str]) -> Iterator[Trace]:
    """Yield the traces of files, those of problems whose right answer is given with that.

    Raises:
        BadTraces: a file cannot be read.
    """
    for path in sources:
        for trace in read_traces(path):
            # a choice's right answer is a number of its own question
            if trace.key in truths and trace.text_of("kind") is None:
                trace.values["truth"] = truths[trace.key]
            yield trace
