"""What the tests ask the operating system about processes."""

import os
import select
from pathlib import Path

#: Kept for tests that take it away from the code under test.
_pidfd_open = os.pidfd_open


def wait_until_gone(pid: int, timeout_s: float = 10.0) -> bool:
    """Whether a process ends (a zombie has ended) within the time."""
    try:
        descriptor = _pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        readable, _, _ = select.select([descriptor], [], [], timeout_s)
        return bool(readable)
    finally:
        os.close(descriptor)


def processes_mentioning(text: str) -> list[int]:
    """Ids of the processes that have a text on their command line or in their environment."""
    needle = text.encode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            content = (path / "cmdline").read_bytes() + (path / "environ").read_bytes()
        except OSError:
            continue
        if needle in content:
            found.append(int(path.name))
    return found


def open_descriptors() -> set[str]:
    """What this process has open: descriptor numbers with their targets."""
    entries = set()
    for path in Path("/proc/self/fd").iterdir():
        try:
            entries.add(f"{path.name} {path.readlink()}")
        except OSError:
            continue
    return entries
