"""Room on the disk that is kept for what must be written last. Standard library alone."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

FILE = "reserve"
#: The gateway's file takes some kilobytes for a hundred problems.
RESERVED_BYTES = 1024 * 1024


class Reserve:
    """Bytes that a folder's own growing files cannot take; `free` gives them up."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        with suppress(OSError), self._path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, RESERVED_BYTES)

    def is_wanted(self) -> bool:
        """Tell whether the current folder's disk has less room left than is kept."""
        try:
            return self._path.exists() and shutil.disk_usage(Path.cwd()).free < RESERVED_BYTES
        except OSError:
            return False

    def free(self) -> None:
        """Give the room up."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
