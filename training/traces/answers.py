"""Right answers for traces that do not bring theirs, as a journal's do not."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from training.errors import BadTraces
from training.names import plain
from training.problems.read import ANSWER, ID, STATEMENT, first, read_rows
from training.traces.read import read_traces
from training.traces.trace import Trace
from training.verdicts import compared
from voting.exact import Comparison

#: Problems that are told by name.
_NAMED = 10
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Answers:
    """Right answers by the ids of problems, and of these the statements that are known.

    `others` are ids that traces have for other problems, as where files number theirs from 1.
    """

    by_id: dict[str, str] = field(default_factory=dict)
    statements: dict[str, str] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)

    def of(self, trace: Trace) -> str | None:
        """Return the right answer of a trace's problem; None: not known."""
        answer = self.by_id.get(trace.key)
        # a choice's right answer is a number of its own question
        if answer is None or trace.text_of("kind") is not None:
            return None
        known, own = self.statements.get(trace.key), trace.text_of("problem")
        if known is not None and own is not None and plain(known) != plain(own):
            self.others.add(trace.key)
            return None
        return answer

    def tell(self) -> None:
        """Warn of the answers that were not used."""
        if self.others:
            named = ", ".join(sorted(self.others)[:_NAMED])
            more = ", …" if len(self.others) > _NAMED else ""
            log.warning(
                "%d ids are of other problems in the traces than among the answers, by their "
                "statements; their answers were not used: %s%s",
                len(self.others), named, more,
            )  # fmt: skip


@contextmanager
def given_answers(path: Path | None) -> Iterator[Answers]:
    """Yield the right answers of a file; warn at the end of those that were not used.

    Raises:
        BadTraces: as `read_answers` does.
    """
    known = read_answers(path)
    try:
        yield known
    finally:
        known.tell()


def read_answers(path: Path | None) -> Answers:
    """Return the right answers of a file of problems, JSON lines or CSV; no file has none.

    Problems whose answer is null or empty are left out: theirs is not known.

    Raises:
        BadTraces: the file cannot be read, a row lacks the id, two rows give an id other answers,
            or no row has an answer.
    """
    if path is None:
        return Answers()
    found, statements = dict[str, str](), dict[str, str]()
    for number, row in enumerate(read_rows(path), start=1):
        name, answer = first(row, ID), first(row, ANSWER)
        if name is None:
            raise BadTraces(f"{path}, row {number}: must have an id under {', '.join(ID)}; add it")
        if answer is None:
            continue
        known = found.setdefault(name, answer)
        if (statement := first(row, STATEMENT)) is not None:
            statements.setdefault(name, statement)
        if compared(known, answer) is Comparison.DIFFERENT:
            raise BadTraces(
                f"{path}, row {number}: the id {name} has the answer {answer!r}, and {known!r} in "
                "a row before; keep the right one"
            )
    if not found:
        raise BadTraces(f"{path}: no row has an answer, must be under {', '.join(ANSWER)}; add it")
    return Answers(found, statements)


def traces_with(sources: Iterable[Path], answers: Answers) -> Iterator[Trace]:
    """Yield the traces of files, those of problems whose right answer is given with that.

    Raises:
        BadTraces: a file cannot be read.
    """
    for path in sources:
        for trace in read_traces(path):
            truth = answers.of(trace)
            if truth is not None:
                trace.values["truth"] = truth
            yield trace
