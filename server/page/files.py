"""Files of training data as rows, a page at a time, by the place in the file where it begins."""

import csv
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from server.page.view import NotThere

#: Files that are listed, and how deep below the folder they may lie.
MOST_FILES = 500
MOST_DEPTH = 3
#: Rows of a page.
PAGE_ROWS = 20
#: Bytes of one row; a corpus entry has at most 100,000 characters, its ids ten times that.
MOST_ROW_BYTES = 16 * 2**20
#: Bytes that a search reads before it gives up and says so: about a second.
MOST_SEARCHED_BYTES = 200 * 2**20
csv.field_size_limit(MOST_ROW_BYTES)


class DataKind(StrEnum):
    """What a file holds, told by the names of its columns."""

    PROBLEMS = "problems"
    CORPUS = "corpus"
    TOKENS = "tokens"
    SAMPLES = "samples"
    ALTERNATES = "alternates"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of the folder; `name` is its path within it, as an address can hold it."""

    name: str
    path: Path
    kind: DataKind
    size: int


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of a file; `next` is where the following ones begin, None at its end.

    `gave_up`: a search has read as much as it may, and may go on at `next`.
    """

    rows: list[tuple[int, dict[str, Any]]]
    next: int | None
    gave_up: bool = False


#: Names under which token ids, and their masks or weights, are kept.
ID_FIELDS = ("token_ids", "ids", "tokens", "input_ids")
MASK_FIELDS = ("mask", "weights", "loss_mask", "completion_mask")
#: The same as alternating run lengths, the first of them not learned from.
RUNS_FIELD = "runs"


def find_files(folder: Path) -> list[DataFile]:
    """Return the CSV and JSONL files of a folder, by name."""
    found: list[Path] = []
    for pattern in ("*.csv", "*.jsonl"):
        for depth in range(MOST_DEPTH):
            found += folder.glob("*/" * depth + pattern)
    inside = [path for path in found if _is_inside(path, folder)]
    return sorted((_describe(path, folder) for path in inside[:MOST_FILES]), key=lambda f: f.name)


def _is_inside(path: Path, folder: Path) -> bool:
    """Tell whether a file is one, and does not lead out of the folder by a link."""
    return path.is_file() and path.resolve().is_relative_to(folder.resolve())


def _describe(path: Path, folder: Path) -> DataFile:
    # A name may be no UTF-8, as from an archive of another system.
    name = os.fsencode(path.relative_to(folder).as_posix()).decode("utf-8", "replace")
    return DataFile(name, path, _kind(path), path.stat().st_size)


def _kind(path: Path) -> DataKind:
    try:
        with path.open("rb") as file:
            first = next(_records(path, file, 0), None)
    except (OSError, ValueError, csv.Error):
        return DataKind.OTHER
    return kind_of(first[1].keys() if first else ())


def kind_of(names: Iterable[str]) -> DataKind:
    """Return what rows with these columns are."""
    columns = set(names)
    if columns & set(ID_FIELDS) and columns & {*MASK_FIELDS, RUNS_FIELD}:
        return DataKind.TOKENS
    if {"prompt", "completion"} <= columns:
        return DataKind.CORPUS
    if {"alternates", "begin", "before"} <= columns:
        return DataKind.ALTERNATES
    if "responses" in columns and "rewards" in columns:
        return DataKind.SAMPLES
    if "problem" in columns and columns & {"answer", "solve_rate", "failures"}:
        return DataKind.PROBLEMS
    return DataKind.OTHER


def find_file(folder: Path, name: str) -> DataFile:
    """Return a file of the folder.

    Raises:
        NotThere: the listing has none of that name, so that no other file can be had by it.
    """
    found = next((file for file in find_files(folder) if file.name == name), None)
    if found is None:
        raise NotThere(f"the training folder has no file {name[:80]!r}")
    return found


def read_page(file: DataFile, at: int, wanted: str = "") -> Page:
    """Return the rows from byte `at` on that hold a text, whatever its case.

    Raises:
        NotThere: the file cannot be read, or a row is malformed.
    """
    rows: list[tuple[int, dict[str, Any]]] = []
    sought, start = wanted.lower(), at
    try:
        with file.path.open("rb") as opened:
            for place, row in _records(file.path, opened, at):
                if len(rows) == PAGE_ROWS:
                    return Page(rows, place)
                if place - start > MOST_SEARCHED_BYTES:
                    return Page(rows, place, gave_up=True)
                if not sought or _holds(row, sought):
                    rows.append((place, row))
    except (OSError, ValueError, csv.Error) as error:
        raise NotThere(f"{file.name}: cannot be read from byte {at} on ({error})") from error
    return Page(rows, None)


def _holds(row: dict[str, Any], sought: str) -> bool:
    return any(isinstance(value, str) and sought in value.lower() for value in row.values())


def _records(path: Path, file: BinaryIO, at: int) -> Iterator[tuple[int, dict[str, Any]]]:
    return _csv_records(file, at) if path.suffix == ".csv" else _json_records(file, at)


def _json_records(file: BinaryIO, at: int) -> Iterator[tuple[int, dict[str, Any]]]:
    file.seek(at)
    while True:
        place = file.tell()
        line = _line(file)
        if not line:
            return
        if line.strip():
            row = orjson.loads(line)
            if not isinstance(row, dict):
                raise ValueError("a line is no JSON object")
            yield place, row


def _csv_records(file: BinaryIO, at: int) -> Iterator[tuple[int, dict[str, Any]]]:
    file.seek(0)
    columns = next(csv.reader([_line(file).decode("utf-8-sig")]), [])
    if at > file.tell():
        file.seek(at)

    def lines() -> Iterator[str]:
        while line := _line(file):
            yield line.decode("utf-8", "replace")

    source = lines()
    while True:
        place = file.tell()
        # The reader takes as many lines as a row has, and no more.
        row = next(csv.reader(source), None)
        if row is None:
            return
        if row:
            yield place, dict(zip(columns, row, strict=False))


def _line(file: BinaryIO) -> bytes:
    line = file.readline(MOST_ROW_BYTES)
    if len(line) == MOST_ROW_BYTES:
        raise ValueError(f"a line has over {MOST_ROW_BYTES:,} bytes")
    return line
