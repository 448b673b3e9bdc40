"""A file that grows until it is whole: where it ends is where the next pull goes on."""

import errno
import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from server.weights.cache import size_text
from server.weights.errors import NO_SPACE, CacheUnusable, DiskFull, SourceUnavailable
from server.weights.known import KnownWeights
from server.weights.observer import Observer

_READ_BYTES = 1 << 20


class PartialFile:
    """The bytes fetched so far, under a temporary name, with their running SHA-256."""

    def __init__(self, path: Path, weights: KnownWeights, observer: Observer) -> None:
        self._path = path
        self._weights = weights
        self._observer = observer
        self._digest = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> Self:
        self._file = self._path.open("a+b", buffering=0)
        self._read_again()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def missing_bytes(self) -> int:
        """How many bytes are still to come."""
        return self._weights.size_bytes - self.size

    def append(self, chunk: bytes | memoryview) -> None:
        """Add bytes; raises `DiskFull`, or `SourceUnavailable` for more bytes than published."""
        if len(chunk) > self.missing_bytes:
            raise SourceUnavailable(f"gave more than the {self._weights.size_bytes:,} bytes")
        rest = memoryview(chunk)
        while rest:
            try:
                written = self._file.write(rest)
            except OSError as error:
                raise self._translated(error) from error
            self._digest.update(rest[:written])
            self.size += written
            rest = rest[written:]
        self._observer.at(self.size)

    def clear(self) -> None:
        """Throw away what was fetched."""
        self._file.truncate(0)
        self._digest = hashlib.sha256()
        self.size = 0

    def holds_published_bytes(self) -> bool:
        """Tell whether the bytes are those that were published."""
        return self._digest.hexdigest() == self._weights.sha256

    def publish(self, target: Path) -> None:
        """Give the whole file its name, after it has reached the disk."""
        try:
            os.fsync(self._file.fileno())
            self._path.replace(target)
        except OSError as error:
            raise self._translated(error) from error

    def _read_again(self) -> None:
        """Take up what an earlier pull left."""
        size = os.fstat(self._file.fileno()).st_size
        if size > self._weights.size_bytes:
            self.clear()
            return
        if size:
            self._observer.begin("checking what is here", size, 0)
        self._file.seek(0)
        try:
            while chunk := self._file.read(_READ_BYTES):
                self._digest.update(chunk)
                self.size += len(chunk)
                self._observer.at(self.size)
        finally:
            if size:
                self._observer.end()

    def _translated(self, error: OSError) -> CacheUnusable | DiskFull:
        if error.errno in NO_SPACE:
            why = "the process's file size limit" if error.errno == errno.EFBIG else "no space"
            return DiskFull(
                f"{self._path.parent}: the disk is full ({why}) after "
                f"{size_text(self.size)} of {size_text(self._weights.size_bytes)}, which are kept; "
                "free some space and run the command again, it goes on from there"
            )
        return CacheUnusable(f"{self._path}: cannot be written ({error.strerror})")
