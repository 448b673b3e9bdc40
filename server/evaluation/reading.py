"""Rows become problems; what cannot be scored is named and counted, and never a problem."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from client.schema import MAX_PROBLEM_CHARS
from server.evaluation.catalogue import COLUMNS, SetSource
from server.evaluation.errors import SetUnreadable
from server.evaluation.problem import Fault, Kind, Problem, ProblemSet, read_answer
from server.evaluation.rows import Row
from voting.answers import AnswerKind, extract


def read_problems(name: str, source: SetSource, rows: Iterable[Row], origin: str) -> ProblemSet:
    """Return the problems of rows. Of rows with one id, none is a problem: nobody knows which.

    Raises:
        SetUnreadable: no row is a problem; the text says what was wrong.
    """
    kept: list[tuple[str, Row]] = []
    for number, row in enumerate(rows):
        if _wanted(row, source):
            own = _text(_column(row, "id", source))
            kept.append((own if own is not None else f"{name}-{number}", row))
    taken = Counter(identity for identity, _ in kept)
    faults: dict[Fault, list[str]] = defaultdict(list)
    problems = []
    for identity, row in kept:
        made = Fault.DUPLICATE if taken[identity] > 1 else _problem(identity, row, source)
        if isinstance(made, Problem):
            problems.append(made)
        else:
            faults[made].append(identity)
    found = ProblemSet(
        name=name, problems=tuple(problems), licence=source.licence, origin=origin,
        faults=dict(faults),
    )  # fmt: skip
    if not problems:
        why = "; ".join(found.notes()) or f"{len(kept)} rows"
        raise SetUnreadable(
            f"{origin}: holds no problem ({why}); name the columns with --column, for example "
            "--column statement=question --column answer=target"
        )
    return found


def _wanted(row: Row, source: SetSource) -> bool:
    return all(str(row.get(column)) in values for column, values in source.where.items()) and all(
        text in str(row.get(column, "")) for column, text in source.contains.items()
    )


def _problem(identity: str, row: Row, source: SetSource) -> Problem | Fault:
    statement = _text(_column(row, "statement", source))
    if statement is None or not statement.strip():
        return Fault.NO_STATEMENT
    if len(statement) > MAX_PROBLEM_CHARS:
        return Fault.TOO_LONG
    written = _answer(row, source)
    if written is None or not written.strip():
        return Fault.NO_ANSWER
    if read_answer(written, source.kind) is None:
        return Fault.UNPARSED
    rest: dict[str, Any] = {
        name: _text(_column(row, name, source)) for name in ("level", "subject", "year", "source")
    }
    return Problem(id=identity, statement=statement, answer=written, kind=source.kind, **rest)


def _answer(row: Row, source: SetSource) -> str | None:
    if source.answer_from_solution is not None:
        solution = _text(row.get(source.answer_from_solution))
        found = None if solution is None else extract(solution, AnswerKind.TEXT)
        return None if found is None else found.written
    return _text(_column(row, "answer", source))


def _column(row: Row, what: str, source: SetSource) -> object:
    """Return a column: the one that the set names, else the first that goes by a known name."""
    named = source.columns.get(what)
    names = COLUMNS[what] if named is None else (named,)
    return next((row[name] for name in names if row.get(name) is not None), None)


def _text(value: object) -> str | None:
    """Return a cell as text: a whole float as its integer, a list of one as what is in it."""
    if isinstance(value, list | tuple):
        parts = [_text(each) for each in value]
        return ", ".join(part for part in parts if part is not None) or None
    if value is None or isinstance(value, bool | Mapping):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def file_source(kind: Kind, columns: Mapping[str, str], title: str) -> SetSource:
    """Return the description of a file that the user names.

    Raises:
        SetUnreadable: a column is given for what a problem does not have.
    """
    unknown = sorted(set(columns) - set(COLUMNS))
    if unknown:
        raise SetUnreadable(
            f"column for {', '.join(unknown)}: must be for one of {', '.join(COLUMNS)}; write "
            "--column statement=question"
        )
    return SetSource(
        title=title, source="file", obtain="yours", licence="the file's own", kind=kind,
        columns=dict(columns),
    )  # fmt: skip
