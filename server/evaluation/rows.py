"""Rows of a file of problems: JSON lines, a JSON list, CSV or Parquet."""

import csv
import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from server.evaluation.errors import SetUnreadable

Row = Mapping[str, Any]
#: Rows of Parquet decoded at a time.
BATCH = 1_000
#: A cell of CSV may hold this many characters: a problem with its solution.
CSV_CHARS = 2**20


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file, its kind told by its ending.

    Raises:
        SetUnreadable: the file cannot be read or is of no kind that is; the text names the line.
    """
    readers = {".jsonl": _json_lines, ".ndjson": _json_lines, ".json": _json,
               ".csv": _csv, ".parquet": _parquet}  # fmt: skip
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise SetUnreadable(
            f"{path}: a file of problems must end in {', '.join(readers)}; rename or convert it"
        )
    try:
        yield from reader(path)
    except (OSError, UnicodeDecodeError) as error:
        raise SetUnreadable(
            f"{path}: cannot be read ({error}); name a file of problems in UTF-8"
        ) from error


def _json_lines(path: Path) -> Iterator[Row]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _object(path, number, line)


def _object(path: Path, number: int, line: bytes) -> Row:
    try:
        row = orjson.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise SetUnreadable(
            f"{path}, line {number}: must be a JSON object, {error}; correct or remove the line"
        ) from error
    if not isinstance(row, dict):
        raise SetUnreadable(f"{path}, line {number}: must be a JSON object; correct the line")
    return row


def _json(path: Path) -> Iterator[Row]:
    try:
        rows = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise SetUnreadable(f"{path}: must be a JSON list of objects, {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SetUnreadable(f"{path}: must be a JSON list of objects; or give JSON lines (.jsonl)")
    yield from rows


def _csv(path: Path) -> Iterator[Row]:
    csv.field_size_limit(CSV_CHARS)
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            for row in csv.DictReader(file, strict=True):
                # Cells beyond the header come under None; an empty cell is an absent one.
                yield {name: text or None for name, text in row.items() if name is not None}
        except csv.Error as error:
            raise SetUnreadable(f"{path}: not CSV with a header: {error}; correct it") from error


def _parquet(path: Path) -> Iterator[Row]:
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise SetUnreadable(
            f"{path}: Parquet needs pyarrow, which is not installed: install the extra, as in "
            '`pip install "quorum-aimo[eval]"`, or convert the file to JSON lines'
        ) from error
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH):
                yield from batch.to_pylist()
    except arrow.ArrowException as error:
        raise SetUnreadable(
            f"{path}: not a whole Parquet file ({error}); fetch it again"
        ) from error
