"""How much memory a page cache may take, the container's limit included."""

from pathlib import Path

import psutil

#: Left for engine, kernels and gateway: the larger of a number of bytes and a share of all memory.
LEAST_FREE_BYTES = 2 << 30
FREE_SHARE = 0.05

_CGROUP = Path("/sys/fs/cgroup")


def available_bytes(cgroup: Path = _CGROUP) -> int:
    """Return what programs could still take, page cache that would make way included, in bytes."""
    available = int(psutil.virtual_memory().available)
    limited = _cgroup_available(cgroup)
    return available if limited is None else min(available, limited)


def default_keep_free_bytes() -> int:
    """Return what a preload leaves free unless told otherwise, in bytes."""
    return max(LEAST_FREE_BYTES, int(FREE_SHARE * psutil.virtual_memory().total))


def _cgroup_available(cgroup: Path) -> int | None:
    """Return the same for this process' cgroup (version 2, seen as the root of its namespace)."""
    try:
        limit = (cgroup / "memory.max").read_text(encoding="ascii").strip()
        used = int((cgroup / "memory.current").read_text(encoding="ascii"))
        lines = (cgroup / "memory.stat").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return None
    if limit == "max":
        return None
    statistics = {name: int(value) for name, value in map(str.split, lines)}
    # Shared memory counts as cache and makes way for nothing: engines have much of it.
    cached = statistics.get("file", 0) - statistics.get("shmem", 0)
    return max(int(limit) - used + cached, 0)
