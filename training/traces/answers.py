"""Right answers for traces that do not bring theirs, as a journal's do not."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from training.corpus.rules import plain_answer
from training.errors import BadTraces
from training.problems.read import ANSWER, ID, first, read_rows
from training.traces.read import read_traces
from training.traces.trace import Trace


def read_answers(path: Path | None) -> dict[str, str]:
    """Return the right answers of a file of problems, JSON lines or CSV, by id; no file has none.

    Problems whose answer is null or empty are left out: theirs is not known.

    Raises:
        BadTraces: the file cannot be read, a row lacks the id, two rows give an id other answers,
            or no row has an answer.
    """
    if path is None:
        return {}
    found: dict[str, str] = {}
    for number, row in enumerate(read_rows(path), start=1):
        name, answer = first(row, ID), first(row, ANSWER)
        if name is None:
            raise BadTraces(f"{path}, row {number}: must have an id under {', '.join(ID)}; add it")
        if answer is None:
            continue
        known = found.setdefault(name, answer)
        if known != answer and plain_answer(known) != plain_answer(answer):
            raise BadTraces(
                f"{path}, row {number}: the id {name} has the answer {answer!r}, and {known!r} in "
                "a row before; keep the right one"
            )
    if not found:
        raise BadTraces(f"{path}: no row has an answer, must be under {', '.join(ANSWER)}; add it")
    return found


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
