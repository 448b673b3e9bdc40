"""Small files that are whole or not there. Standard library alone."""

import hashlib
import json
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

#: Larger files are not ours: a run's fallback has some 200 bytes a problem.
MOST_BYTES = 16 * 1024 * 1024


def writable_folder(wanted: Path) -> Path:
    """Return a folder that can be written, made if need be: the wanted one, or one in its place.

    That is a temporary one, the same each time: a notebook that is started again goes on there.
    """
    name = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:12]
    stand_in = Path(tempfile.gettempdir()) / f"quorum-session-{os.getuid()}-{name}"
    for folder in (wanted, stand_in):
        with suppress(OSError):
            folder.mkdir(mode=0o777 if folder is wanted else 0o700, parents=True, exist_ok=True)
            ours = folder is wanted or folder.lstat().st_uid == os.getuid()
            if ours and os.access(folder, os.W_OK | os.X_OK):
                return folder
    return Path(tempfile.mkdtemp(prefix="quorum-session-"))


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
