"""Reads the metadata section of a GGUF file: keys and values, no tensors.

Source of the format: the GGUF specification, versions 2 and 3 (little-endian). The reader trusts
nothing: every length is checked against what is left of the file before anything is read.
"""

import os
import struct
from pathlib import Path
from typing import BinaryIO, TypeAlias

from server.vocabulary.errors import VocabularyError

MetadataScalar: TypeAlias = int | float | bool | str
MetadataValue: TypeAlias = MetadataScalar | list[MetadataScalar]

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
#: Type codes of the specification, as `struct` formats; 8 is a string, 9 an array.
_NUMBERS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9
#: The largest vocabularies in use (262,144 tokens and their merges) take about 16 MiB.
_MAX_METADATA_BYTES = 256 << 20


class _Reader:
    """Little-endian reads that never go past the end of the file or the metadata limit."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = min(size, _MAX_METADATA_BYTES)

    def take(self, count: int) -> bytes:
        if count > self._left:
            raise VocabularyError(f"{count} bytes are announced where {self._left} are left")
        self._left -= count
        data = self._file.read(count)
        if len(data) != count:
            raise VocabularyError("the file ends inside its metadata")
        return data

    def unsigned(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def string(self) -> str:
        return self.take(self.unsigned(8)).decode("utf-8", errors="replace")

    def numbers(self, code: int, count: int) -> tuple[MetadataScalar, ...]:
        letter = _NUMBERS.get(code)
        if letter is None:
            raise VocabularyError(f"value type {code} is not one of GGUF's")
        return struct.unpack(f"<{count}{letter}", self.take(count * struct.calcsize(letter)))

    def array(self) -> list[MetadataScalar]:
        code, count = self.unsigned(4), self.unsigned(8)
        if code == _STRING:
            return self._strings(count)
        return list(self.numbers(code, count))

    def _strings(self, count: int) -> list[MetadataScalar]:
        if count * 8 > self._left:  # each string begins with an 8-byte length
            raise VocabularyError(
                f"{count} strings are announced where {self._left} bytes are left"
            )
        return [self.string() for _ in range(count)]

    def value(self) -> MetadataValue:
        code = self.unsigned(4)
        if code == _STRING:
            return self.string()
        if code == _ARRAY:
            return self.array()
        return self.numbers(code, 1)[0]

    def metadata(self) -> dict[str, MetadataValue]:
        if self.take(4) != _MAGIC:
            raise VocabularyError("it does not begin with GGUF")
        version = self.unsigned(4)
        if version not in _VERSIONS:
            raise VocabularyError(f"version {version} is not one of {_VERSIONS}")
        self.take(8)  # the number of tensors
        entries: dict[str, MetadataValue] = {}
        for _ in range(self.unsigned(8)):
            key = self.string()
            entries[key] = self.value()
        return entries


def read_metadata(path: Path) -> dict[str, MetadataValue]:
    """Return the metadata of a GGUF file, such as `general.name` or `tokenizer.ggml.tokens`.

    Raises `VocabularyError` where the file cannot be read, is no GGUF file or is cut short.
    """
    try:
        with path.open("rb") as file:
            return _Reader(file, os.fstat(file.fileno()).st_size).metadata()
    except OSError as error:
        raise VocabularyError(f"{path}: cannot be read ({error.strerror})") from error
    except VocabularyError as error:
        raise VocabularyError(
            f"{path}: not a whole GGUF file: {error}; fetch the file again"
        ) from error
