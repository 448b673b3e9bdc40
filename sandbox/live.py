"""A cell's output while the cell still runs.

The capture (`sandbox.inside.capture`) appends whatever a cell writes to one file, so nothing has to
be asked of the kernel, which may be deep in C code: the file is looked at a few times a second, and
only when somebody wants to know. Told live is the head that the bound on output keeps; the rest,
whose middle may have to be cut, comes when the cell has ended. What was told, joined and settled
(`sandbox.output.settle`), is exactly the result's output, unless the cell has tampered with its own
output file: then what differs is told once more.
"""

import codecs
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from sandbox.output import BoundedText, Stripper, clean

#: The capture's file in the kernel's folder: there while a cell runs, so also when it was killed
#: in the middle.
OUTPUT_FILE = "output"

#: Hears a cell's output in pieces, in order, on the event loop; must neither wait nor raise.
#: Lines that carriage returns rewrite (progress bars) come with these.
OutputObserver = Callable[[str], None]

#: Seconds between two looks: people take a tenth of a second for at once.
_LOOK_EVERY_S = 0.1

#: A character of UTF-8 has at most this many bytes.
_BYTES_PER_CHARACTER = 4


class LiveOutput:
    """Tells `observe` the first half of `limit` characters as they are written, then the rest.

    With nobody to tell, it does nothing.
    """

    def __init__(self, path: Path, limit: int, observe: OutputObserver | None) -> None:
        self._path = path
        self._observe = observe
        self._room = limit // 2
        self._descriptor: int | None = None
        self._offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stripper = Stripper()
        self._read: list[str] = []

    async def follow(self) -> None:
        """Look until the head is full, or until cancelled."""
        while self._room > 0:
            self.look()
            await anyio.sleep(_LOOK_EVERY_S)

    def look(self) -> None:
        """Tell what has been written since the last look."""
        if self._descriptor is None:
            self._descriptor = _open(self._path)
        if self._descriptor is None or self._room <= 0:
            return
        size = self._room * _BYTES_PER_CHARACTER
        data = os.pread(self._descriptor, size, self._offset)
        self._offset += len(data)
        text = self._decoder.decode(data)[: self._room]
        self._room -= len(text)
        self._read.append(text)
        self._tell(self._stripper.feed(text))

    def finish(self, whole: str, output: str) -> None:
        """Tell what has not been told.

        Args:
            whole: the text that came in the end, as the cell wrote it.
            output: the result's output: the same, cleaned, and a notice of how the cell ended.
        """
        if self._observe is None:
            return
        known = "".join(self._read)
        rest = whole[len(known) :] if whole.startswith(known) else f"\n{whole}"
        self._tell(self._stripper.feed(rest) + self._stripper.finish())
        self._tell(output.removeprefix(clean(whole)))

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _tell(self, text: str) -> None:
        if text and self._observe is not None:
            self._observe(text)


@asynccontextmanager
async def following(
    path: Path, limit: int, observe: OutputObserver | None
) -> AsyncIterator[LiveOutput]:
    """Tell `observe` the output while the block runs; `finish` what is yielded after it."""
    live = LiveOutput(path, limit, observe)
    if observe is None:
        yield live
        return
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(live.follow)
            yield live
            group.cancel_scope.cancel()
    finally:
        live.close()


def written_so_far(path: Path, limit: int) -> BoundedText:
    """What a killed cell had written; empty where there is nothing that can be read safely."""
    text = BoundedText(limit)
    descriptor = _open(path)
    if descriptor is None:
        return text
    try:
        budget = limit * _BYTES_PER_CHARACTER
        text.append(os.pread(descriptor, budget, 0).decode("utf-8", "replace"))
        text.skip(os.fstat(descriptor).st_size - budget)
    finally:
        os.close(descriptor)
    return text


def _open(path: Path) -> int | None:
    """Open a file that a cell may have put a link or a pipe in the place of."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    information = os.fstat(descriptor)
    if stat.S_ISREG(information.st_mode) and information.st_nlink == 1:
        return descriptor
    os.close(descriptor)
    return None
