"""Exports attempts to JSON lines or Parquet: as a stream, and whole or not at all."""

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson

from server.journal.errors import ExportFailed
from server.journal.export_rows import COLUMNS, ExportRow, export_rows, export_solves
from server.journal.reader import JournalReader, SolveFilter
from server.journal.rows import Float16s

#: Tokens that a row group of Parquet holds at least: 8 MB of arrays, so memory stays small.
GROUP_TOKENS = 1_000_000
#: Parquet's types, by pyarrow's names.
ARROW_TYPES: dict[type, str] = {str: "string", int: "int64", float: "float64", bool: "bool_"}
#: How a file of SQLite's begins.
SQLITE = b"SQLite format 3\0"


class ExportFormat(StrEnum):
    """The kinds of file."""

    JSONL = "jsonl"
    PARQUET = "parquet"


class RowWriter(Protocol):
    """Takes rows one after another."""

    def write(self, row: ExportRow) -> None:
        """Take a row."""
        ...

    def close(self) -> None:
        """Write what is held back."""
        ...


def export(
    reader: JournalReader,
    target: Path,
    file_format: ExportFormat,
    wanted: SolveFilter,
    observe: Callable[[int, int], None] | None = None,
) -> int:
    """Write all attempts of the solves wanted to `target`; return how many.

    `observe` is told, solve by solve, how many of how many are done. A file appears under its name
    once it is whole.

    Raises:
        JournalUnreadable: the journal cannot be read.
        ExportFailed: the file cannot be written or is a database, or Parquet needs what is not
            installed.
    """
    count = 0
    with _opened(target, file_format) as writer, reader.snapshot():
        solves = export_solves(reader, wanted)
        for done, solve in enumerate(solves, start=1):
            for row in export_rows(reader, solve):
                writer.write(row)
                count += 1
            if observe is not None:
                observe(done, len(solves))
    return count


@contextmanager
def _opened(target: Path, file_format: ExportFormat) -> Iterator[RowWriter]:
    """Open a writer on a temporary file beside the target, and rename that at the end.

    A pipe is written to as it comes, and a link stays one: /dev/stdout is the one or the other.
    """
    direct = is_pipe(target)
    if not direct and _is_database(target):
        raise ExportFailed(
            f"export to {target}: is a database, such as the journal itself; name a new file to "
            "write, and what is read with --journal"
        )
    if not direct:
        target = Path(os.path.realpath(target))
    partial = target if direct else target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        if file_format is ExportFormat.JSONL:
            writer: RowWriter = JsonLines(partial)
        else:
            writer = Parquet(partial)
        try:
            yield writer
        finally:
            writer.close()
        if not direct:
            partial.replace(target)
    except OSError as error:
        raise ExportFailed(
            f"export to {target}: cannot be written ({error.strerror or error}); free space, or "
            "name a path in a folder that can be written"
        ) from error
    finally:
        if not direct:
            with suppress(OSError):
                partial.unlink()


def is_pipe(target: Path) -> bool:
    """Whether something is there that is no file: it cannot be replaced."""
    return target.exists() and not target.is_file()


def _is_database(target: Path) -> bool:
    """Whether a journal would be lost, or another program's record."""
    try:
        with target.open("rb") as file:
            return file.read(len(SQLITE)) == SQLITE
    except OSError:
        return False


class JsonLines:
    """One JSON object a line; arrays are lists, with null for what is not there."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, row: ExportRow) -> None:
        """Write a line."""
        record: dict[str, Any] = {
            **row.values,
            "ids": np.ascontiguousarray(row.ids),
            "mask": row.mask,
            "logprobs": _single(row.logprobs),
            "confidence": _single(row.confidence),
            "step_scores": row.step_scores,
        }
        options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
        self._file.write(orjson.dumps(record, option=options))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _single(numbers: Float16s | None) -> Any:  # noqa: ANN401 - an array or None, for orjson
    """Widen to what JSON's shortest digits are known for; NaN becomes null."""
    return None if numbers is None else numbers.astype(np.float32)


class Parquet:
    """One row an attempt; ids as uint32, mask as uint8, scores as float32, others float16."""

    def __init__(self, path: Path) -> None:
        self._arrow, parquet = _pyarrow()
        arrow = self._arrow
        scalars = [(name, getattr(arrow, ARROW_TYPES[t])()) for name, t in COLUMNS.items()]
        self._arrays = {
            "ids": arrow.uint32(), "mask": arrow.uint8(),
            "logprobs": arrow.float16(), "confidence": arrow.float16(),
            "step_scores": arrow.float32(),
        }  # fmt: skip
        lists = [(name, arrow.list_(of)) for name, of in self._arrays.items()]
        self._schema = arrow.schema([*scalars, *lists])
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[ExportRow] = []
        self._tokens = 0

    def write(self, row: ExportRow) -> None:
        """Take a row; a group of them is written when it is large enough."""
        self._rows.append(row)
        self._tokens += len(row.ids)
        if self._tokens >= GROUP_TOKENS:
            self._write_group()

    def close(self) -> None:
        """Write the last group and close the file."""
        try:
            self._write_group()
        finally:
            self._writer.close()

    def _write_group(self) -> None:
        rows, self._rows, self._tokens = self._rows, [], 0
        if not rows:
            return
        columns = [
            self._arrow.array([row.values[name] for row in rows], self._schema.field(name).type)
            for name in COLUMNS
        ]
        columns += [
            self._lists([getattr(row, name) for row in rows], name) for name in self._arrays
        ]
        self._writer.write_table(self._arrow.table(columns, schema=self._schema))

    def _lists(self, arrays: list[Any], name: str) -> Any:  # noqa: ANN401 - pyarrow has no types
        """Return a column of lists without a Python object for each number."""
        arrow, of = self._arrow, self._arrays[name]
        there = [np.empty(0, np.uint8) if array is None else array for array in arrays]
        offsets = np.cumsum([0, *(len(array) for array in there)], dtype=np.int32)
        values = arrow.array(np.concatenate([array for array in there if len(array)] or [[]]), of)
        absent = arrow.array([array is None for array in arrays])
        return arrow.ListArray.from_arrays(arrow.array(offsets), values, mask=absent)


def _pyarrow() -> tuple[Any, Any]:
    """Return pyarrow and its Parquet module.

    Raises:
        ExportFailed: it is not installed.
    """
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ExportFailed(
            "export to Parquet: needs pyarrow, which is not installed: install the extra, as in "
            '`pip install "quorum-aimo[train]"`, or export to JSON lines with --format jsonl'
        ) from error
