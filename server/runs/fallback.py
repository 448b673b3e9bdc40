"""`fallback.json`: the best answers of all runs so far, for whoever finds the server dead.

The file is replaced whole: written under another name, flushed to the disk, renamed. So a reader
finds the old one or the new one, whatever happens in between; `kill -9` loses at most what came in
the last second.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import orjson
import structlog

from server.regular import regular
from server.runs.evidence import Line

log = structlog.get_logger(__name__)

VERSION = 1
#: The file is written at most this often.
EVERY_S = 1.0
#: Pause before the next try on a disk that is full or fails.
AGAIN_S = 2.0
#: How long the last writing may take as the server ends.
LAST_S = 3.0

Lines = dict[str, dict[str, Line]]
"""By run and problem: what is known."""


class Fallback:
    """Writes the file when told that something has changed; never waits, never raises."""

    def __init__(self, path: Path, lines: Callable[[], Lines]) -> None:
        self.path = path
        self.error = ""
        """Why it cannot be written now."""
        self._lines = lines
        self._changed = anyio.Event()

    def note(self) -> None:
        """Say that something has changed."""
        self._changed.set()

    async def run(self) -> None:
        """Write whenever something has changed, until cancelled; then once more."""
        try:
            while True:
                await self._changed.wait()
                self._changed = anyio.Event()
                written = await self._write()
                if not written:
                    self._changed.set()
                await anyio.sleep(EVERY_S if written else AGAIN_S)
        finally:
            if self._changed.is_set():
                with anyio.move_on_after(LAST_S, shield=True):
                    await self._write()

    async def _write(self) -> bool:
        try:
            content = orjson.dumps(
                {
                    "version": VERSION,
                    "runs": {run: {"problems": lines} for run, lines in self._lines().items()},
                }
            )
            work = partial(replace_file, self.path, content)
            await anyio.to_thread.run_sync(work, abandon_on_cancel=True)
        except (OSError, TypeError, ValueError) as error:
            if not self.error:
                log.warning("fallback.behind", path=str(self.path), error=str(error))
            self.error = str(error)
            return False
        except Exception:
            # The answers themselves are safe; this is only the copy for a dead server.
            log.exception("fallback.failed")
            return False
        if self.error:
            log.info("fallback.writing_again", path=str(self.path))
        self.error = ""
        return True


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file whole, so that it is on the disk when this returns.

    Raises:
        OSError: it is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial_path = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        descriptor = os.open(partial_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial_path.replace(path)
    except BaseException:
        with suppress(OSError):
            partial_path.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_fallback(path: Path) -> Lines:
    """Return what a file of an earlier server says; nothing where there is none, or no such one."""
    try:
        content = orjson.loads(regular(path).read_bytes())
        runs = content["runs"] if content["version"] == VERSION else {}
        return {run: _lines(told["problems"]) for run, told in runs.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _lines(problems: dict[str, object]) -> dict[str, Line]:
    return {name: dict(line) for name, line in problems.items() if isinstance(line, dict)}
