"""One pull at a time: a lock file that the system frees when its holder ends, however it ends."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.weights.errors import PullInProgress
from server.weights.observer import Observer

#: How often a waiting pull looks again; nothing tells a process that a lock came free in time.
_LOOK_EVERY_S = 0.2


@contextmanager
def exclusive(path: Path, wait_s: float, observer: Observer) -> Iterator[None]:
    """Hold the lock file; wait up to `wait_s` seconds for another holder, saying so.

    Raises `PullInProgress` when the time is over. The file stays: removing it would let two in.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _wait(descriptor, path, wait_s, observer)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, path: Path, wait_s: float, observer: Observer) -> None:
    deadline = time.monotonic() + wait_s
    told = False
    while not _try(descriptor):
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace") or "unknown"
        if time.monotonic() >= deadline:
            raise PullInProgress(
                f"{path}: held by process {holder}, which fetches the same weights; "
                "wait for it or end it"
            )
        if not told:
            observer.note(f"another pull is under way (process {holder}); waiting for it")
            told = True
        time.sleep(_LOOK_EVERY_S)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
