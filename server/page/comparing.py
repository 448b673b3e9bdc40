"""Positions of alternates that wait to be compared: named ones first, then by priority."""

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from client.schema import Label, LabelTag
from server.page.files import MOST_ROW_BYTES, DataFile
from server.page.view import NotThere
from server.page.visible import visible

#: Positions of a file that are offered, and bytes of it that are read: about a second.
MOST_POSITIONS = 10_000
MOST_BYTES = 200 * 2**20
COMPARED = frozenset({LabelTag.BETTER, LabelTag.NEUTRAL, LabelTag.WORSE})


@dataclass(frozen=True, slots=True)
class Place:
    """A position that may be compared; `at` is the byte of its line in the file."""

    at: int
    problem_id: str
    solve_id: str
    attempt: int
    begin: int
    priority: float
    named: bool
    done: int
    """How many people have compared it."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """A way to go on; `alternate` is None for the attempt's own."""

    alternate: int | None
    end: int
    text: str


def places(file: DataFile, labels: Sequence[Label], annotator: str = "") -> list[Place]:
    """Return a file's positions: those that the annotator has not compared, named ones first.

    Named are those that training found named, and those in whose paragraph somebody has since put
    a label or the source of a mistake.

    Raises:
        NotThere: the file cannot be read.
    """
    marks = _marks(labels)
    done: dict[tuple[str, int, int], set[str]] = {}
    for each in labels:
        if each.tag in COMPARED:
            place = (each.solve_id, each.attempt, each.begin)
            done.setdefault(place, set()).add(each.annotator)
    found = []
    for at, row in _rows(file.path):
        inside = marks.get((row["solve_id"], row["attempt"]), ())
        who = done.get((row["solve_id"], row["attempt"], row["begin"]), set())
        if annotator in who or not row["alternates"]:
            continue
        found.append(
            Place(
                at, str(row["problem_id"]), row["solve_id"], row["attempt"], row["begin"],
                float(row["priority"]),
                bool(row["named"]) or any(row["begin"] <= mark < row["end"] for mark in inside),
                len(who),
            )
        )  # fmt: skip
        if len(found) == MOST_POSITIONS:
            break
    return sorted(found, key=lambda each: (each.done > 0, not each.named, -each.priority))


def _marks(labels: Iterable[Label]) -> dict[tuple[str, int], list[int]]:
    marks: dict[tuple[str, int], list[int]] = {}
    for each in labels:
        if each.tag in COMPARED or each.tag is LabelTag.FINAL:
            continue
        own = marks.setdefault((each.solve_id, each.attempt), [])
        own.append(each.begin)
        if each.source is not None:
            own.append(each.source)
    return marks


def continuations(row: dict[str, Any]) -> list[Continuation]:
    """Return the ways to go on in an order that says nothing, the same each time."""
    begin = row["begin"]
    found = [Continuation(None, row["end"], visible(row["own"]).strip())]
    found += [
        Continuation(each["alternate"], begin + len(each["ids"]), visible(each["text"]).strip())
        for each in row["alternates"]
    ]
    name = f"{row['solve_id']}/{row['attempt']}/{begin}"
    random.Random(hashlib.sha256(name.encode()).digest()).shuffle(found)
    return found


def read_row(file: DataFile, at: int) -> dict[str, Any]:
    """Return the position at a byte of a file.

    Raises:
        NotThere: there is none.
    """
    try:
        with file.path.open("rb") as opened:
            opened.seek(at)
            return _checked(opened.readline(MOST_ROW_BYTES))
    except (OSError, ValueError) as error:
        raise NotThere(f"{file.name}: has no position at byte {at} ({error})") from error


def _rows(path: Path) -> Iterable[tuple[int, dict[str, Any]]]:
    try:
        with path.open("rb") as file:
            while (at := file.tell()) < MOST_BYTES and (line := file.readline(MOST_ROW_BYTES)):
                if line.strip():
                    yield at, _checked(line)
    except (OSError, ValueError) as error:
        raise NotThere(f"{path.name}: cannot be read as alternates ({error})") from error


def _checked(line: bytes) -> dict[str, Any]:
    """Return a position; raises `ValueError` where a line is none."""
    row = orjson.loads(line)
    if not isinstance(row, dict):
        raise ValueError("a line is no JSON object")
    kinds: dict[str, type | tuple[type, ...]] = {
        "problem_id": str, "solve_id": str, "attempt": int, "begin": int, "end": int, "own": str,
        "before": str, "priority": (int, float), "named": bool, "alternates": list,
    }  # fmt: skip
    wrong = [name for name, kind in kinds.items() if not isinstance(row.get(name), kind)]
    for each in [] if wrong else row["alternates"]:
        fits = isinstance(each, dict) and isinstance(each.get("ids"), list)
        if not (fits and isinstance(each.get("text"), str)):
            wrong.append("alternates")
        elif not isinstance(each.get("alternate"), int):
            wrong.append("alternate")
    if wrong:
        raise ValueError(f"a position's {wrong[0]} is missing or malformed")
    return row
