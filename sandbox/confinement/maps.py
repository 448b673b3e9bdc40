"""What processes hold by having it mapped: shared memory, and files that no name leads to.

How large such a thing is does not show in what is mapped of it: all of it stays as long as one page
is. Its size can be asked for by a right that root has, and root of a container has not.

Standard library only, like `sandbox.confinement.processes`.
"""

import os
from collections.abc import Callable, Iterator

from sandbox.confinement.effort import Effort
from sandbox.confinement.processes import read_living

_BLOCK_BYTES = 512

#: A mapping that goes away while we ask is no longer there when we read again; one that is moved
#: about all the time, so that nobody can ask, still is.
_READINGS = 3


def shared_bytes(pids: list[int], longest: int, effort: Effort) -> int:
    """Sizes of shared memory that processes have mapped, whether it is theirs or not, once each.

    What was written stays, though a process that lets go of it counts it no more (madvise, munmap).
    Where sizes cannot be asked for, each counts as `longest`: kernels can have none by the usual
    call there (`sandbox.inside.seccomp`).
    """
    return _held(pids, _is_shared_memory, longest, effort)


def mapped_bytes(pids: list[int], path: str, longest: int, effort: Effort) -> int:
    """What files of a folder hold that no name leads to, and that processes have mapped.

    A file counts that no descriptor leads to either; one with an unknown size as `longest`.
    """
    return _held(
        pids, lambda line: f" {path}/" in line and line.endswith(" (deleted)"), longest, effort
    )


def sizes_can_be_asked() -> bool:
    """Whether this process may ask for the size of what is mapped."""
    try:
        places = os.listdir("/proc/self/map_files")  # noqa: PTH208 - names are all that is needed
    except OSError:
        return False
    return any(_size(os.getpid(), place) is not None for place in places)


def _is_shared_memory(line: str) -> bool:
    """Whether a line of `maps` is of shared memory without a file, which can be given a name."""
    return line.endswith("/dev/zero (deleted)") or " [anon_shmem:" in line


def _held(pids: list[int], is_wanted: Callable[[str], bool], longest: int, effort: Effort) -> int:
    sizes: dict[str, int] = {}
    unknown: set[str] = set()
    for pid in pids:
        for _ in range(_READINGS):
            effort.check()
            missed = set()
            for identity, place in _mapped(pid, is_wanted):
                if identity not in sizes:
                    if (size := _size(pid, place)) is None:
                        missed.add(identity)
                    else:
                        sizes[identity] = size
            if not missed:
                break
        unknown |= missed
    return sum(sizes.values()) + longest * len(unknown - sizes.keys())


def _mapped(pid: int, is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    """Device and inode, and the place, of each mapping that is wanted."""
    for line in read_living(pid, "maps", "-").splitlines():
        if is_wanted(line):
            place, _, _, device, inode, _ = line.split(maxsplit=5)
            yield f"{device} {inode}", "-".join(f"{int(word, 16):x}" for word in place.split("-"))


def _size(pid: int, place: str) -> int | None:
    """Bytes of what is mapped at a place; None where that cannot be asked."""
    try:
        return os.stat(f"/proc/{pid}/map_files/{place}").st_blocks * _BLOCK_BYTES  # noqa: PTH116 - thousands of times a minute
    except OSError:
        return None
