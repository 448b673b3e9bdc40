"""Reads a piece of a file into the page cache without copying it, in a thread of its own."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from server.preload import residency
from server.preload.plan import Piece

#: Asked for at a time: enough for a disk's queue, small enough to stop between.
STEP_BYTES = 16 << 20
#: For file systems without read-ahead: what is read at a time, and thrown away.
COPY_BYTES = 4 << 20


@dataclass(slots=True)
class Tally:
    """What the threads of one preload have done so far, in bytes; safe to read at any time."""

    resident: int = 0
    read: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, *, resident: int = 0, read: int = 0) -> None:
        """Count bytes that were there already or have been read."""
        with self._lock:
            self.resident += resident
            self.read += read


def read_piece(piece: Piece, tally: Tally, may_go_on: Callable[[], bool]) -> None:
    """Bring a piece into the page cache; returns early when `tally.stop` is set.

    `may_go_on` is asked before each step of `STEP_BYTES`; a False ends the piece. Each step is
    announced while the one before it is still being read, so that the disk never idles.

    Raises:
        OSError: the file cannot be read.
    """
    descriptor = os.open(piece.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        gaps = list(residency.missing(descriptor, piece.offset, piece.length))
        tally.add(resident=piece.length - sum(length for _, length in gaps))
        before: tuple[int, int] | None = None
        for step in _steps(gaps):
            if tally.stop.is_set() or not may_go_on():
                return
            _announce(descriptor, *step)
            if before is not None:
                _finish(descriptor, *before, tally)
            before = step
        if before is not None:
            _finish(descriptor, *before, tally)
    finally:
        os.close(descriptor)


def _steps(gaps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return [
        (start, min(STEP_BYTES, offset + length - start))
        for offset, length in gaps
        for start in range(offset, offset + length, STEP_BYTES)
    ]


def _announce(descriptor: int, offset: int, length: int) -> None:
    """Ask for read-ahead: on Linux the same call as readahead(2)."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # not on this file system: `_finish` reads it
            os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_WILLNEED)


def _finish(descriptor: int, offset: int, length: int, tally: Tally) -> None:
    """Wait for a step: its last byte comes last; then read what was not read ahead."""
    if not os.pread(descriptor, 1, offset + length - 1):
        raise residency.shorter()
    if residency.is_told(descriptor):
        gaps = list(residency.missing(descriptor, offset, length))
    else:
        gaps = [(offset, length)]
    buffer = memoryview(bytearray(COPY_BYTES if gaps else 0))
    for start, size in gaps:
        if not _read(descriptor, start, start + size, buffer, tally):
            return
    tally.add(read=length)


def _read(descriptor: int, start: int, end: int, buffer: memoryview, tally: Tally) -> bool:
    """Read up to `end` into the buffer, again and again; return whether nothing stopped it."""
    while start < end:
        if tally.stop.is_set():
            return False
        count = os.preadv(descriptor, [buffer[: end - start]], start)
        if not count:
            raise residency.shorter()
        start += count
    return True
