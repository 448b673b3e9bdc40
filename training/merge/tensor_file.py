"""Files of tensors in the safetensors format, read and written a piece at a time.

The format: eight bytes with the header's length, a JSON header that gives each tensor's type, shape
and place, then the data.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from training.errors import BadTensors, reading
from training.files import PIECE

#: Bytes of a number of each type that a merge reads or writes; others are copied as they are.
WIDTHS = {"U8": 1, "BF16": 2, "F16": 2, "F32": 4}
_TYPES: dict[str, Any] = {"U8": "u1", "BF16": "<u2", "F16": "<f2", "F32": "<f4"}
#: Longer headers are not safetensors (the reference implementation's limit).
_MOST_HEADER = 100_000_000


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor's type, shape, and place in its file, in bytes from the file's beginning."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class TensorFile:
    """A safetensors file; `header` is everything before the data."""

    path: Path
    header: bytes
    entries: dict[str, Entry]
    size: int


def open_tensors(path: Path) -> TensorFile:
    """Read a file's header and check it against the file's size.

    Raises:
        BadTensors: the file is not there, cut short, or not of this format.
    """
    with reading(path, BadTensors), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(_MOST_HEADER, size - 8):
            raise BadTensors(
                f"{path}: not a safetensors file, or cut in its header; fetch it again"
            )
        header = file.read(length)
    try:
        told = orjson.loads(header)
        told.pop("__metadata__", None)
        entries = {name: _entry(each, 8 + length) for name, each in told.items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise BadTensors(f"{path}: its header is damaged; fetch it again") from None
    needed = max((each.end for each in entries.values()), default=8 + length)
    if size < needed:
        raise BadTensors(f"{path}: {size} bytes, must be {needed}: it is cut short; fetch it again")
    ends = 8 + length
    for name, each in sorted(entries.items(), key=lambda one: (one[1].begin, one[1].end)):
        if each.begin != ends:
            raise BadTensors(
                f"{path}: {name} begins at byte {each.begin}, must be {ends}; fetch it again"
            )
        ends = each.end
    if size != ends:
        raise BadTensors(f"{path}: {size} bytes, must be {ends}; fetch it again")
    return TensorFile(path, length.to_bytes(8, "little") + header, entries, size)


def _entry(told: dict[str, Any], start: int) -> Entry:
    begin, end = told["data_offsets"]
    shape, dtype = tuple(int(each) for each in told["shape"]), str(told["dtype"])
    width = WIDTHS.get(dtype)
    if not 0 <= begin <= end or (width and end - begin != width * math.prod(shape)):
        raise ValueError(dtype)
    return Entry(dtype, shape, start + begin, start + end)


def read_raw(file: TensorFile, name: str, first: int = 0, last: int | None = None) -> NDArray[Any]:
    """Return rows `first` to `last` (of the first axis) as they are stored; BF16 as uint16.

    Raises:
        BadTensors: the file cannot be read.
    """
    entry = file.entries[name]
    rows = entry.shape[0] if entry.shape else 1
    last = rows if last is None else last
    row_bytes = (entry.end - entry.begin) // rows if rows else 0
    array = np.empty((last - first, *entry.shape[1:]), _TYPES[entry.dtype])
    view, at = memoryview(array.reshape(-1).view(np.uint8)), 0  # type: ignore[arg-type]
    with reading(file.path, BadTensors), file.path.open("rb", buffering=0) as source:
        source.seek(entry.begin + first * row_bytes)
        while at < len(view):
            count = source.readinto(view[at:])
            if not count:
                raise BadTensors(f"{file.path}: ended within {name}; fetch it again")
            at += count
    return array


def read_floats(
    file: TensorFile, name: str, first: int = 0, last: int | None = None
) -> NDArray[np.float32]:
    """Return rows of a tensor of floating-point numbers as float32."""
    return to_floats(read_raw(file, name, first, last), file.entries[name].dtype)


def to_floats(raw: NDArray[Any], dtype: str) -> NDArray[np.float32]:
    """Return float32 for numbers as they are stored."""
    if dtype == "BF16":
        return (raw.astype(np.uint32) << 16).view(np.float32)
    return raw.astype(np.float32)


def from_floats(values: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    """Return float32 as it is stored, rounded to the nearest, ties to even.

    What F16 does not reach is infinite.
    """
    if dtype != "BF16":
        with np.errstate(over="ignore"):
            return values.astype(_TYPES[dtype])
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def write_at(descriptor: int, data: NDArray[Any], offset: int) -> None:
    """Write an array's bytes at an offset of an open file."""
    view = memoryview(np.ascontiguousarray(data).reshape(-1).view(np.uint8))  # type: ignore[arg-type]
    at = 0
    while at < len(view):
        at += os.pwrite(descriptor, view[at : at + (1 << 26)], offset + at)


def copy_range(source: Path, descriptor: int, begin: int, end: int) -> None:
    """Copy bytes of a file to the same place of an open one.

    Raises:
        BadTensors: the source ends before `end`.
    """
    with source.open("rb", buffering=0) as file:
        at = begin
        while at < end:
            piece = os.pread(file.fileno(), min(PIECE, end - at), at)
            if not piece:
                raise BadTensors(f"{source}: ended at byte {at} of {end}; fetch it again")
            written = 0
            while written < len(piece):
                written += os.pwrite(descriptor, memoryview(piece)[written:], at + written)
            at += len(piece)
