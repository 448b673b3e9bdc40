"""How long a GGUF file must be, by its own header. Standard library alone.

Source of the format: the GGUF specification, versions 2 and 3 (little-endian). Where a header holds
what this program does not know, nothing is said of the file: it may be whole.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
#: Bytes of a number of metadata by its type; 8 is a string, 9 an array.
_NUMBERS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_ALIGNMENT_KEY, _ALIGNMENT = b"general.alignment", 32
#: The largest vocabularies in use take about 16 MiB; a longer header is not read.
_MOST_HEADER_BYTES = 64 << 20
_MOST_DIMENSIONS = 8
#: Elements and bytes of a block by the tensor's type, as ggml has them. Of others the first byte
#: counts.
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 36), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8),
    28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
}  # fmt: skip


class NoGguf(ValueError):
    """The file does not begin as one of this format."""


class _Unknown(Exception):
    """The header holds what this program does not know."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The number of a file's tensors, and the bytes that it has at least if it is whole."""

    tensors: int
    size_bytes: int


def read_layout(path: Path) -> Layout | None:
    """Return what a file's header promises; None where that is not known.

    Raises:
        NoGguf: it is no GGUF file.
        EOFError: it ends inside its header.
        OSError: it cannot be read.
    """
    with path.open("rb", buffering=1 << 20) as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise NoGguf
        try:
            return _Header(file, path.stat().st_size).layout()
        except _Unknown:
            return None


class _Header:
    """Reads a header from behind its magic; never past the file's end or `_MOST_HEADER_BYTES`."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self._at = len(_MAGIC)
        self._alignment = _ALIGNMENT

    def layout(self) -> Layout:
        if self._number(4) not in _VERSIONS:
            raise _Unknown
        tensors, entries = self._number(8), self._number(8)
        for _ in range(entries):
            self._entry()
        ends = [self._tensor_end() for _ in range(tensors)]
        data = math.ceil(self._at / self._alignment) * self._alignment
        return Layout(tensors, data + max(ends) if ends else self._at)

    def _entry(self) -> None:
        key, kind = self._string(), self._number(4)
        if kind == _STRING:
            self._string()
        elif kind == _ARRAY:
            self._array()
        elif key == _ALIGNMENT_KEY:
            self._alignment = max(1, self._number(_width(kind)))
        else:
            self._take(_width(kind))

    def _array(self) -> None:
        kind, count = self._number(4), self._number(8)
        if kind != _STRING:
            self._take(count * _width(kind))
            return
        for _ in range(count):
            self._string()

    def _tensor_end(self) -> int:
        """Return where a tensor ends, counted from the beginning of the data."""
        self._string()
        dimensions = self._number(4)
        if dimensions > _MOST_DIMENSIONS:
            raise _Unknown
        elements = math.prod(self._number(8) for _ in range(dimensions))
        block = _BLOCKS.get(self._number(4))
        offset = self._number(8)
        return offset + (1 if block is None else elements // block[0] * block[1])

    def _string(self) -> bytes:
        return self._take(self._number(8))

    def _number(self, width: int) -> int:
        return int.from_bytes(self._take(width), "little")

    def _take(self, count: int) -> bytes:
        self._at += count
        if self._at > self._size:
            raise EOFError
        if self._at > _MOST_HEADER_BYTES:
            raise _Unknown
        found = self._file.read(count)
        if len(found) < count:  # it has become shorter meanwhile
            raise EOFError
        return found


def _width(kind: int) -> int:
    width = _NUMBERS.get(kind)
    if width is None:
        raise _Unknown
    return width
