"""Problems with answers, as files of JSON lines or CSV."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from training.errors import BadTraces, reading

#: Names that columns have in published sets of problems.
_STATEMENT = ("problem", "statement", "question")
_ANSWER = ("answer", "expected_answer", "correct_answer", "truth")
_ID = ("id", "problem_id", "unique_id")


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
        BadTraces: the file cannot be read, a row has no statement, or an id is there twice.
    """
    problems = [
        _problem(path, number, row, source or path.stem, licence or "not stated")
        for number, row in enumerate(read_rows(path), start=1)
    ]
    seen: set[str] = set()
    for number, problem in enumerate(problems, start=1):
        if problem.id in seen:
            raise BadTraces(f"{path}, row {number}: the id {problem.id} is there twice; rename one")
        seen.add(problem.id)
    return problems


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of CSV or JSON lines.

    Raises:
        BadTraces: it cannot be read.
    """
    with reading(path, BadTraces):
        content = path.read_bytes()
    if path.suffix == ".csv":
        try:
            return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
        except (UnicodeDecodeError, csv.Error) as error:
            raise BadTraces(f"{path}: not CSV in UTF-8 ({error})") from None
    rows = []
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise BadTraces(f"{path}, row {number}: not JSON ({error})") from None
        if not isinstance(row, dict):
            raise BadTraces(f"{path}, row {number}: must be a JSON object")
        rows.append(row)
    return rows


def _problem(path: Path, number: int, row: dict[str, Any], source: str, licence: str) -> Problem:
    statement = _first(row, _STATEMENT)
    if not statement or not statement.strip():
        raise BadTraces(
            f"{path}, row {number}: must have a statement under {', '.join(_STATEMENT)}"
        )
    known = {*_STATEMENT, *_ANSWER, *_ID, "source", "licence", "license"}
    return Problem(
        id=_first(row, _ID) or f"{path.stem}-{number}",
        statement=statement,
        answer=_first(row, _ANSWER),
        source=_first(row, ("source",)) or source,
        licence=_first(row, ("licence", "license")) or licence,
        more={name: value for name, value in row.items() if name not in known},
    )


def _first(row: dict[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        if row.get(name) is not None and str(row[name]) != "":
            return str(row[name])
    return None
