"""Scores a fixed set of problems, such as the contest's ten reference problems."""

import csv
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from kaggle_notebook.errors import KaggleError
from kaggle_notebook.files import write_json
from kaggle_notebook.ladder import contest_integer
from kaggle_notebook.record import AnswerLine
from kaggle_notebook.statement import key_of

FILE = "fixed_set.json"


def score(paths: Sequence[str], lines: Iterable[AnswerLine], folder: Path) -> str:
    """Return a table of the answers against the files' column `answer`; also written as JSON.

    Raises:
        KaggleError: a file has no such column.
    """
    answered = {line.key: line for line in lines}
    rows = []
    for keys, expected in _expected(paths):
        line = next((answered[key] for key in keys if key in answered), None)
        rows.append(
            {
                "id": line.key if line else keys[0],
                "expected": expected,
                "answer": line.answer if line else None,
                "rung": line.rung if line else "",
                "seconds": line.seconds if line else 0.0,
                "right": line is not None and line.answer == expected,
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


def _expected(paths: Sequence[str]) -> list[tuple[list[str], int | None]]:
    """Return for each row the keys that its answer may be under, and the answer that is right."""
    found = []
    for path in paths:
        with Path(path).open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if "answer" not in (reader.fieldnames or ()):
                raise KaggleError(
                    f"{path}: has no column answer, so it cannot be scored; use the file with the "
                    "answers, or mode full"
                )
            found += [
                (_keys(row["id"] or "", row["problem"] or ""), contest_integer(row["answer"]))
                for row in reader
            ]
    return found


def _keys(identity: str, statement: str) -> list[str]:
    """Return an id's keys: the gateway reads ids such as 007 or 1e5 as the numbers they write."""
    readings: list[object] = [identity]
    for number in (int, float):
        with suppress(ValueError):
            readings.append(number(identity))
    return [key_of(each, statement) for each in readings]
