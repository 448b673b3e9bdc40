"""Problems with answers, as files of JSON lines or CSV."""

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from training.errors import BadTraces, reading
from training.json_rows import loads

#: Names that columns have in published sets of problems.
STATEMENT = ("problem", "statement", "question")
ANSWER = ("answer", "expected_answer", "correct_answer", "short_answer", "truth")
ID = ("id", "problem_id", "unique_id")
#: Characters of a field of CSV, as many as the page takes.
MOST_FIELD = 1 << 24


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem; what its source says beside statement and answer is in `more`."""

    id: str
    statement: str
    answer: str | None
    source: str
    licence: str
    more: dict[str, Any]


def read_problems(path: Path, *, source: str = "", licence: str = "") -> list[Problem]:
    """Return the problems of a file, in order; `source` and `licence` stand where it says none.

    Raises:
        BadTraces: the file cannot be read or is empty, a row has no statement, or an id is there
            twice.
    """
    problems = [
        _problem(path, number, row, source or path.stem, licence or "not stated")
        for number, row in enumerate(read_rows(path), start=1)
    ]
    if not problems:
        raise BadTraces(f"{path}: has 0 rows, must have at least one problem; name another file")
    seen: set[str] = set()
    for number, problem in enumerate(problems, start=1):
        if problem.id in seen:
            raise BadTraces(f"{path}, row {number}: the id {problem.id} is there twice; rename one")
        seen.add(problem.id)
    return problems


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file of CSV, of JSON lines or of one JSON list, the last one read whole.

    Raises:
        BadTraces: it cannot be read.
    """
    with reading(path, BadTraces):
        yield from _csv_rows(path) if path.suffix.lower() == ".csv" else _json_rows(path)


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    # solutions of published sets are longer than what the module takes by default
    csv.field_size_limit(MOST_FIELD)
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            for number, row in enumerate(csv.DictReader(file), start=1):
                if any(row.pop(None, ())):
                    raise BadTraces(
                        f"{path}, row {number}: has more cells than the header; put cells with "
                        "commas into quotes"
                    )
                yield row
        except (UnicodeDecodeError, csv.Error) as error:
            raise BadTraces(f"{path}: not CSV in UTF-8 ({error})") from None


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for number, row in enumerate(_json_values(path, file), start=1):
            if not isinstance(row, dict):
                raise BadTraces(f"{path}, row {number}: must be a JSON object")
            yield row


def _json_values(path: Path, file: BinaryIO) -> Iterator[Any]:
    is_first = True
    for number, given in enumerate(file, start=1):
        line = given.removeprefix(codecs.BOM_UTF8)
        if not line.strip():
            continue
        try:
            if is_first and line.lstrip().startswith(b"["):
                yield from loads(line + file.read())
                return
            is_first = False
            yield loads(line)
        except ValueError as error:
            raise BadTraces(f"{path}, row {number}: not JSON ({error})") from None


def _problem(path: Path, number: int, row: dict[str, Any], source: str, licence: str) -> Problem:
    statement = first(row, STATEMENT)
    if not statement or not statement.strip():
        raise BadTraces(f"{path}, row {number}: must have a statement under {', '.join(STATEMENT)}")
    known = {*STATEMENT, *ANSWER, *ID, "source", "licence", "license"}
    return Problem(
        id=first(row, ID) or f"{path.stem}-{number}",
        statement=statement,
        answer=first(row, ANSWER),
        source=first(row, ("source",)) or source,
        licence=first(row, ("licence", "license")) or licence,
        more={name: value for name, value in row.items() if name not in known},
    )


def first(row: dict[str, Any], names: tuple[str, ...]) -> str | None:
    """Return the first of some columns that a row has, as text."""
    for name in names:
        if row.get(name) is not None and str(row[name]) != "":
            return str(row[name])
    return None
