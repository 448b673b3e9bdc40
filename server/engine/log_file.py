"""The file that keeps what an engine process writes."""

import os
from pathlib import Path
from typing import BinaryIO

import structlog

log = structlog.get_logger(__name__)

#: SGLang writes about 4 MB in five hours; a process that complains at every step is cut off here.
MOST_BYTES = 32 * 1024 * 1024


class EngineLog:
    """Appends to a file that only its owner reads; of a full one, the one before is kept as `.1`.

    A log that cannot be written is told once and then left: an engine needs none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._size = 0
        self._broken = False

    def write(self, data: bytes) -> None:
        """Append what the process wrote."""
        if self._broken:
            return
        try:
            if self._file is None or self._size > MOST_BYTES:
                self._open()
            assert self._file is not None  # noqa: S101 - `_open` raises or sets it
            self._file.write(data)
            self._size += len(data)
        except OSError as error:
            self._broken = True
            log.warning("engine.log_lost", path=str(self.path), reason=str(error))

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> None:
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and self.path.stat().st_size > MOST_BYTES:
            self.path.replace(self.path.with_suffix(self.path.suffix + ".1"))
        # SGLang writes its arguments, the key among them.
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._file = os.fdopen(descriptor, "ab", buffering=0)
        self._size = self.path.stat().st_size
