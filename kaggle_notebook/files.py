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
#: Memory that takes files: for what a disk that is full, or cannot be written, does not take.
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there is of this user alone


def writable_folder(wanted: Path) -> Path:
    """Return a folder that can be written, made if need be: the wanted one, or one in its place.

    That is a temporary one, the same each time: a notebook that is started again goes on there.
    Where nothing at all can be written, the wanted one or the nearest above it that is there: a
    session keeps its answers in memory then. Raises nothing.
    """
    name = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:12]
    if _can_be_had(wanted, 0o777):
        return wanted
    with suppress(OSError):
        stand_in = temporary_folder() / f"quorum-session-{os.getuid()}-{name}"
        if _can_be_had(stand_in, 0o700) and stand_in.lstat().st_uid == os.getuid():
            return stand_in
        return Path(tempfile.mkdtemp(prefix="quorum-session-", dir=stand_in.parent))
    # Path.is_dir raises where a folder may not be looked into
    above = (wanted, *wanted.parents)
    return next(folder for folder in above if os.path.isdir(folder))  # noqa: PTH112


def current_folder() -> Path:
    """Return the folder that this process is in; one for temporary files where that was removed."""
    try:
        return Path.cwd()
    except OSError:
        pass
    try:
        return temporary_folder()
    except OSError:
        return Path("/")  # nothing can be written anywhere


def temporary_folder() -> Path:
    """Return a folder that takes temporary files now: the system's, or memory where it is full.

    Raises:
        OSError: there is neither.
    """
    try:
        # looked for anew: what Python remembers of the folder may be hours old
        with tempfile.TemporaryFile() as file:
            file.write(b"room")
    except OSError:
        if not os.access(SHARED_MEMORY, os.W_OK | os.X_OK):
            raise
        return SHARED_MEMORY
    return Path(tempfile.gettempdir())


def _can_be_had(folder: Path, mode: int) -> bool:
    """Make a folder where there is none; tell whether it can be written."""
    with suppress(OSError):
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        return os.access(folder, os.W_OK | os.X_OK)
    return False


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
