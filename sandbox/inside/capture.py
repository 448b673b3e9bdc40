"""Captures what one cell writes, in order and bounded, by whatever way it is written.

A cell's output is a file: Python's streams and the file descriptors 1 and 2 (children, C code)
append to the same one, so their order is kept, and the pool can read it when the process is gone.
Python's streams stop filling it at a budget and go on in a short memory of the latest bytes.
"""

import ctypes
import fcntl
import io
import os
import sys
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sandbox.inside.late import LateThreads
from sandbox.output import BoundedText

#: The name of the file, in the kernel's directory; it exists only while a cell runs.
OUTPUT_FILE = "output"

#: A character of UTF-8 has at most this many bytes.
_BYTES_PER_CHARACTER = 4

#: _IONBF of <stdio.h>, in glibc and musl.
_UNBUFFERED = 2

#: As Python calls them.
_STREAM_NAMES = {1: "<stdout>", 2: "<stderr>"}

#: Those below are standard input, output and error.
_FIRST_DESCRIPTOR = 3


@dataclass(frozen=True, slots=True)
class CapturedText:
    """What is kept of a cell's output; `cut` characters are missing between head and tail."""

    head: str
    cut: int
    tail: str


class LatestBytes:
    """The last `limit` bytes of those appended, and the number of those before them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chunks: deque[bytes] = deque()
        self._kept = 0
        self.dropped = 0

    def append(self, data: memoryview) -> None:
        """Add bytes at the end; the oldest ones go."""
        excess = max(len(data) - self._limit, 0)
        self._chunks.append(bytes(data[excess:]))
        self._kept += len(data) - excess
        self.dropped += excess
        while self._kept - len(self._chunks[0]) >= self._limit:
            gone = len(self._chunks.popleft())
            self._kept -= gone
            self.dropped += gone

    @property
    def last(self) -> bytes:
        """The last byte; none where nothing was appended."""
        return self._chunks[-1][-1:] if self._chunks else b""

    def joined(self) -> bytes:
        """What is kept: up to one chunk more than the limit."""
        return b"".join(self._chunks)


class CellCapture:
    """The output of the running cell of this process.

    `limit` is in characters. Only the thread that makes it may `begin` and `end`.
    """

    def __init__(self, directory: Path, limit: int) -> None:
        self._path = directory / OUTPUT_FILE
        self._limit = limit
        self._file_budget = limit * _BYTES_PER_CHARACTER
        # An object's finaliser can print in the middle of a print: the lock must be reentrant.
        self._lock = threading.RLock()
        self._process = os.getpid()
        self.late_threads = LateThreads()
        self._file: int | None = None
        self._written = 0
        self._latest = LatestBytes(self._file_budget)

    def begin(self) -> None:
        """Open a new file for a cell.

        Threads and children of earlier cells are shut out: the threads as they are known, the
        children because they hold the file of their own cell.
        """
        self.late_threads.begin()
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        self._path.unlink(missing_ok=True)
        descriptor = _moved_up(os.open(self._path, flags, 0o600))
        with self._lock:
            self._written = 0
            self._latest = LatestBytes(self._file_budget)
            self._file = descriptor
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)

    def write(self, data: memoryview) -> None:
        """Append what the calling thread writes, unless it is no part of the running cell."""
        if self.late_threads.is_late():
            return
        if os.getpid() != self._process:
            self._write_from_fork(data)
            return
        with self._lock:
            if self._file is None:
                return
            room = self._file_budget - self._written
            if room > 0:
                _write_all(self._file, data[:room])
                self._written += min(room, len(data))
            if room < len(data):
                self._latest.append(data[max(room, 0) :])

    def begin_line(self) -> None:
        """End a line that was begun: what comes now is not part of it."""
        with self._lock:
            if self._file is not None and self._last_byte(self._file) not in (b"", b"\n"):
                self.write(memoryview(b"\n"))

    def _last_byte(self, file: int) -> bytes:
        size = os.fstat(file).st_size
        return self._latest.last or os.pread(file, 1, max(size - 1, 0))

    def end(self) -> CapturedText:
        """Close the cell's file and return what is kept of it."""
        with self._lock:
            descriptor, self._file = self._file, None
            latest, self._latest = self._latest, LatestBytes(self._file_budget)
        if descriptor is None:
            return CapturedText("", 0, "")
        try:
            return self._read(descriptor, latest)
        finally:
            os.close(descriptor)
            self._path.unlink(missing_ok=True)

    def _read(self, descriptor: int, latest: LatestBytes) -> CapturedText:
        size = os.fstat(descriptor).st_size
        head = os.pread(descriptor, self._file_budget, 0)
        text = BoundedText(self._limit)
        text.append(head.decode("utf-8", "replace"))
        if size > len(head):
            # Children wrote past the budget, which binds only Python's streams.
            start = max(size - self._file_budget, len(head))
            text.skip(start - len(head))
            text.append(os.pread(descriptor, self._file_budget, start).decode("utf-8", "replace"))
        text.skip(latest.dropped)
        text.append(latest.joined().decode("utf-8", "replace"))
        return CapturedText(text.head, text.cut, text.tail)

    def _write_from_fork(self, data: memoryview) -> None:
        """A forked child has the same file but a copy of everything else."""
        if self._file is not None and os.fstat(self._file).st_size < self._file_budget:
            _write_all(self._file, data[: self._file_budget])


class _CaptureFile(io.RawIOBase):
    """The capture as the lowest layer of a text stream."""

    def __init__(self, capture: CellCapture, descriptor: int) -> None:
        self._capture = capture
        self._descriptor = descriptor
        #: Programs ask the text stream for it, which asks here.
        self.name = _STREAM_NAMES[descriptor]

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        # A view: the bulk of a huge print is dropped without being copied.
        with memoryview(data).cast("B") as view:  # type: ignore[arg-type]  # typeshed's Buffer is private
            self._capture.write(view)
            return len(view)

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return False

    def close(self) -> None:
        """Stay open: a cell that closes its stdout would silence all later ones."""


def capture_stream(capture: CellCapture, descriptor: int) -> io.TextIOWrapper:
    """A text stream like sys.stdout that writes to the capture; surrogates come as escapes."""
    return io.TextIOWrapper(
        _CaptureFile(capture, descriptor),
        encoding="utf-8",
        errors="backslashreplace",
        newline="\n",
        write_through=True,
    )


class Streams(NamedTuple):
    """Text streams like sys.stdout and sys.stderr that write to one capture."""

    output: io.TextIOWrapper
    errors: io.TextIOWrapper


def capture_streams(capture: CellCapture) -> Streams:
    """Make a pair of streams."""
    return Streams(capture_stream(capture, 1), capture_stream(capture, 2))


def give_streams(capture: CellCapture) -> None:
    """Give the cell to come streams of its own: it may replace, detach or reconfigure them."""
    output, errors = capture_streams(capture)
    vars(sys).update(stdout=output, stderr=errors, __stdout__=output, __stderr__=errors)


def unbuffer_c_streams() -> None:
    """Have C code write at once: what it buffers would come among a later cell's output, or never.

    Does nothing where the C library has other names for its streams.
    """
    with suppress(OSError, ValueError, AttributeError):
        library = ctypes.CDLL(None)
        for name in ("stdout", "stderr"):
            stream = ctypes.c_void_p.in_dll(library, name)
            library.setvbuf(stream, None, _UNBUFFERED, ctypes.c_size_t(0))


def _moved_up(descriptor: int) -> int:
    """The same file under a number of its own: a cell may have closed a standard descriptor."""
    if descriptor >= _FIRST_DESCRIPTOR:
        return descriptor
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _FIRST_DESCRIPTOR)
    os.close(descriptor)
    return moved


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
