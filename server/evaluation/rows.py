"""Rows of a file of problems: JSON lines, a JSON list, CSV or Parquet; text gzipped too."""

import csv
import gzip
import importlib
import io
import json
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from server.evaluation.errors import SetUnreadable

Row = Mapping[str, Any]
#: Rows of Parquet decoded at a time.
BATCH = 1_000
#: A cell of CSV may hold this many characters: a problem with its solution.
CSV_CHARS = 2**20
#: What may part the cells of a CSV file; its header says which.
SEPARATORS = ",;\t"
GZIP = ".gz"
BOM = b"\xef\xbb\xbf"
#: What reading a file raises, zipped or not.
UNREADABLE = (OSError, EOFError, zlib.error)
Number = TypeVar("Number", int, Decimal)


def _number(make: Callable[[str], Number], written: str) -> Number | str:
    """Return a number, and one beyond what Python takes as it is written."""
    try:
        return make(written)
    except (ValueError, InvalidOperation):
        return written


#: Integers of any length and decimals as they are written: an answer must not be rounded.
_loads = partial(json.loads, parse_int=partial(_number, int), parse_float=partial(_number, Decimal))


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file, its kind told by its ending.

    Raises:
        SetUnreadable: the file cannot be read or is of no kind that is; the text names the line.
    """
    zipped = path.suffix.lower() == GZIP
    ending = (path.with_suffix("") if zipped else path).suffix.lower()
    reader = READERS.get(ending)
    if reader is None or (zipped and ending == ".parquet"):
        raise SetUnreadable(
            f"{path}: a file of problems must end in {', '.join(READERS)}, or in one of these and "
            f"{GZIP}; rename or convert it"
        )
    try:
        yield from reader(path)
    except (*UNREADABLE, UnicodeError, RecursionError) as error:
        raise SetUnreadable(
            f"{path}: cannot be read ({error}); name a file of problems in UTF-8"
        ) from error


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to be read, unzipped where its name ends in .gz."""
    opening: Any = gzip.open if path.suffix.lower() == GZIP else open
    with opening(path, "rb") as file:
        yield file


def _json_lines(path: Path) -> Iterator[Row]:
    with opened(path) as lines:
        for number, line in enumerate(lines, start=1):
            content = line.removeprefix(BOM).strip()
            if content:
                yield _object(path, number, content)


def _object(path: Path, number: int, line: bytes) -> Row:
    try:
        row = _loads(line)
    except ValueError as error:
        raise SetUnreadable(
            f"{path}, line {number}: must be a JSON object, {error}; correct or remove the line"
        ) from error
    if not isinstance(row, dict):
        raise SetUnreadable(f"{path}, line {number}: must be a JSON object; correct the line")
    return row


def _json(path: Path) -> Iterator[Row]:
    """Yield the rows of a list, of the one list in an object, of an object by id, or of lines."""
    with opened(path) as file:
        content = file.read().removeprefix(BOM)
    try:
        found = _loads(content)
    except ValueError as error:
        # Many datasets have JSON lines in such files.
        if content.lstrip().startswith(b"{") and b"\n" in content.strip():
            yield from _json_lines(path)
            return
        raise SetUnreadable(f"{path}: must be a JSON list of objects, {error}") from error
    rows = _listed(found)
    if rows is None:
        raise SetUnreadable(f"{path}: must be a JSON list of objects; or give JSON lines (.jsonl)")
    yield from rows


def _listed(found: object) -> list[Row] | None:
    if isinstance(found, dict):
        # An empty list says nothing: also a problem may have one.
        lists = [
            rows for rows in found.values() if rows and isinstance(rows, list) and _are_rows(rows)
        ]
        if len(lists) == 1:
            return lists[0]
        if found and _are_rows(list(found.values())):
            return [{"id": name, **row} for name, row in found.items()]
        # A file of one problem.
        return [found]
    return found if isinstance(found, list) and _are_rows(found) else None


def _are_rows(values: list[Any]) -> bool:
    return all(isinstance(value, dict) for value in values)


def _csv(path: Path) -> Iterator[Row]:
    csv.field_size_limit(min(CSV_CHARS, sys.maxsize))
    with opened(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        header = text.readline()
        text.seek(0)
        try:
            for row in csv.DictReader(text, strict=True, delimiter=_separator(header)):
                # Cells beyond the header come under None; an empty cell is an absent one.
                yield {name: cell or None for name, cell in row.items() if name is not None}
        except csv.Error as error:
            raise SetUnreadable(f"{path}: not CSV with a header: {error}; correct it") from error


def _separator(header: str) -> str:
    return max(SEPARATORS, key=header.count)


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


READERS: Mapping[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _json_lines, ".ndjson": _json_lines, ".json": _json,
    ".csv": _csv, ".tsv": _csv, ".parquet": _parquet,
}  # fmt: skip
