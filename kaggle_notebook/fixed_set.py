"""Scores a fixed set of problems, such as the contest's ten reference problems."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kaggle_notebook.errors import KaggleError
from kaggle_notebook.files import write_json
from kaggle_notebook.ladder import contest_integer
from kaggle_notebook.record import AnswerLine
from kaggle_notebook.statement import key_of

FILE = "fixed_set.json"
#: Characters of one field: the module's own bound of 128 KiB is less than a gateway takes.
MOST_FIELD_CHARACTERS = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FixedProblem:
    """One row: the keys that its answer may be under, and the answer that is right, if any."""

    keys: tuple[str, ...]
    answer: int | None


def read_rows(path: str) -> Iterator[dict[str, str]]:
    """Yield a CSV file's rows by the columns' names.

    Raises:
        KaggleError: it cannot be read.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MOST_FIELD_CHARACTERS))
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            yield from csv.DictReader(file, restval="")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise KaggleError(
            f"{path}: cannot be read ({error}); give a CSV file of id and problem"
        ) from error


def read_set(paths: Sequence[str]) -> list[FixedProblem]:
    """Return the problems of the files.

    Raises:
        KaggleError: a file cannot be read, or lacks the column id or answer.
    """
    found = []
    for path in paths:
        for row in read_rows(path):
            lacking = [name for name in ("id", "answer") if name not in row]
            if lacking:
                raise KaggleError(
                    f"{path}: has no column {' and '.join(lacking)}, so it cannot be scored; use "
                    "the file with the answers, or mode full"
                )
            keys = _keys(row["id"], row.get("problem", ""))
            found.append(FixedProblem(keys, contest_integer(row["answer"])))
    return found


def score(problems: Iterable[FixedProblem], lines: Iterable[AnswerLine], folder: Path) -> str:
    """Return a table of the answers against those that are right; also written as JSON."""
    answered = {line.key: line for line in lines}
    rows = []
    for problem in problems:
        line = next((answered[key] for key in problem.keys if key in answered), None)
        rows.append(
            {
                "id": line.key if line else problem.keys[0],
                "expected": problem.answer,
                "answer": line.answer if line else None,
                "rung": line.rung if line else "",
                "seconds": line.seconds if line else 0.0,
                "right": line is not None and line.answer == problem.answer,
            }
        )
    right = sum(bool(row["right"]) for row in rows)
    with suppress(OSError):
        write_json(folder / FILE, {"right": right, "problems": len(rows), "rows": rows})
    table = [
        f"{row['id']:<24.24} {row['expected']!s:>8} {row['answer']!s:>8} {row['rung']:<8}"
        f" {row['seconds']:>8.1f} s  {'right' if row['right'] else 'wrong'}"
        for row in rows
    ]
    return "\n".join([*table, f"{right} of {len(rows)} right", ""])


def _keys(identity: str, statement: str) -> tuple[str, ...]:
    """Return an id's keys: the gateway reads ids such as 007 or 1e5 as the numbers they write."""
    readings: list[object] = [identity]
    for number in (int, float):
        with suppress(ValueError):
            readings.append(number(identity))
    return tuple(key_of(each, statement) for each in readings)
