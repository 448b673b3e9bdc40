"""Files that are on the disk but not in the page cache."""

import os
from pathlib import Path

import pytest

from server.preload import residency

MIB = 1 << 20


def write_cold(path: Path, size: int) -> Path:
    """Write a file of `size` bytes and drop it from the page cache; skip where that cannot be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))
    make_cold(path)
    return path


def make_cold(path: Path) -> None:
    """Drop a file from the page cache; skip the test where the file system keeps it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if missing(path) < path.stat().st_size:
        pytest.skip(f"{path.parent}: this file system keeps its files in memory")


def missing(path: Path) -> int:
    """Return how many bytes of a file are not in the page cache."""
    with path.open("rb") as file:
        return residency.missing_bytes(file.fileno(), 0, path.stat().st_size)
