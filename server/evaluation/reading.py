"""Rows become problems; what cannot be scored is named and counted, and never a problem."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from client.schema import MAX_PROBLEM_CHARS, SolveRequest
from server.evaluation.catalogue import COLUMNS, SetSource
from server.evaluation.cells import cell, first_cell, text_of
from server.evaluation.choices import choices_of, labels_of, right_letter, with_choices
from server.evaluation.errors import SetUnreadable
from server.evaluation.problem import Fault, Kind, Problem, ProblemSet, read_answer
from server.evaluation.rows import Row
from voting.answers import AnswerKind, extract

#: What stands before the answer at the end of a worked solution, as GSM8K has it.
SOLUTION_MARK = "####"
#: Columns that an error names, at the most.
NAMED = 12


def read_problems(name: str, source: SetSource, rows: Iterable[Row], origin: str) -> ProblemSet:
    """Return the problems of rows. Of rows with one id, none is a problem: nobody knows which.

    Raises:
        SetUnreadable: no row is a problem, or none has a column that was named; the text says so.
    """
    made: list[tuple[str, Problem | Fault]] = []
    columns: dict[str, None] = {}
    unseen = dict(source.columns)
    for number, row in enumerate(rows):
        if not _wanted(row, source):
            continue
        columns |= dict.fromkeys(map(str, row))
        unseen = {what: column for what, column in unseen.items() if cell(row, column) is None}
        own = _readable((text_of(_column(row, "id", source)) or "").strip())
        identity = own or f"{name}-{number}"
        made.append((identity, _problem(identity, row, source)))
    taken = Counter(identity for identity, _ in made)
    faults: dict[Fault, list[str]] = defaultdict(list)
    problems = []
    for identity, found in made:
        one = Fault.DUPLICATE if taken[identity] > 1 else found
        if isinstance(one, Problem):
            problems.append(one)
        else:
            faults[one].append(identity)
    kept = ProblemSet(
        name=name, problems=tuple(problems), licence=source.licence, origin=origin,
        faults=dict(faults),
    )  # fmt: skip
    _check(kept, len(made), list(columns), unseen)
    return kept


def _check(found: ProblemSet, rows: int, columns: list[str], unseen: Mapping[str, str]) -> None:
    there = ", ".join(repr(column[:40]) for column in columns[:NAMED]) or "none"
    if rows and unseen:
        what, column = next(iter(unseen.items()))
        raise SetUnreadable(
            f"{found.origin}: column {column[:60]!r} for {what}: no row has anything in it; name "
            f"one of its columns: {there}"
        )
    if not rows and not found.problems:
        raise SetUnreadable(
            f"{found.origin}: holds no row, or none that --where lets through; name a file of "
            "problems, or another --where"
        )
    if not found.problems:
        why = "; ".join(found.notes()) or f"{rows} rows"
        raise SetUnreadable(
            f"{found.origin}: holds no problem ({why}); its columns are {there}: say which is what "
            "with --column, for example --column statement=question --column answer=target"
        )


def _readable(name: str) -> str:
    """Return a name that can be written: a lone surrogate as its escape."""
    return name.encode("utf-8", "backslashreplace").decode()


def _wanted(row: Row, source: SetSource) -> bool:
    return all(str(cell(row, column)) in values for column, values in source.where.items()) and all(
        text in str(cell(row, column)) for column, text in source.contains.items()
    )


def _problem(identity: str, row: Row, source: SetSource) -> Problem | Fault:
    statement = text_of(_column(row, "statement", source))
    if statement is None or not statement.strip():
        return Fault.NO_STATEMENT
    choices = choices_of(row) if source.kind in (None, Kind.CHOICE) else {}
    answer, kind = _answer(row, source), source.kind
    letter = right_letter(answer, choices, labels_of(row))
    if kind is None:
        kind = Kind.CHOICE if choices and letter else Kind.TEXT
    written = letter if kind is Kind.CHOICE else _written(answer, kind)
    if choices and kind is Kind.CHOICE:
        statement = with_choices(statement, choices)
    fault = _fault(statement)
    if fault is not None:
        return fault
    if answer is None or not (text_of(answer) or "").strip():
        return Fault.NO_ANSWER
    if written is None or _readable(written) != written or read_answer(written, kind) is None:
        return Fault.UNPARSED
    told = {
        name: text_of(_column(row, name, source)) for name in ("level", "subject", "year", "source")
    }
    rest: dict[str, Any] = {name: text and _readable(text) for name, text in told.items()}
    return Problem(id=identity, statement=statement, answer=written, kind=kind, **rest)


def _fault(statement: str) -> Fault | None:
    """Return why the server would not take a problem."""
    if len(statement) > MAX_PROBLEM_CHARS:
        return Fault.TOO_LONG
    try:
        SolveRequest(problem=statement)
    except ValidationError:
        return Fault.NOT_TEXT
    return None


def _answer(row: Row, source: SetSource) -> object:
    """Return the right answer as the row has it, None where it has none."""
    if source.answer_from_solution is not None:
        solution = text_of(row.get(source.answer_from_solution))
        found = None if solution is None else extract(solution, AnswerKind.TEXT)
        return None if found is None else found.written
    answer = _column(row, "answer", source)
    if isinstance(answer, str) and SOLUTION_MARK in answer:
        return answer.rpartition(SOLUTION_MARK)[2].strip()
    return answer


def _written(answer: object, kind: Kind) -> str | None:
    text = text_of(answer)
    if text is None or kind is not Kind.INTEGER:
        return text
    # A table of integers with a gap is written as one of floats.
    whole, point, rest = text.strip().partition(".")
    return whole if point and rest and not rest.strip("0") else text


def _column(row: Row, what: str, source: SetSource) -> object:
    """Return a column: the one that the set names, else the first that goes by a known name."""
    named = source.columns.get(what)
    return first_cell(row, COLUMNS[what]) if named is None else cell(row, named)


def file_source(kind: Kind | None, columns: Mapping[str, str], title: str) -> SetSource:
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
