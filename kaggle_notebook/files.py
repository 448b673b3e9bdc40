"""Small files that are whole or not there. Standard library alone."""

import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

#: Larger files are not ours: a run's fallback has some 200 bytes a problem.
MOST_BYTES = 16 * 1024 * 1024


def write_json(path: Path, value: object) -> None:
    """Write a file at once: readers see the old one or the new one. Raises OSError."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with beside.open("w", encoding="utf-8") as file:
            json.dump(value, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a file's JSON object; None where there is none that can be read."""
    try:
        found = path.stat()
        # what is no plain file, such as a pipe, might never come to an end
        if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
            return None
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
