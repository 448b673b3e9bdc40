"""What processes take of memory, sockets and disk, also where it is no process' by /proc's account.

Standard library only, like `sandbox.confinement.processes`.
"""

import ctypes
import os
import stat
from collections.abc import Generator
from contextlib import closing, suppress
from typing import NamedTuple

from sandbox.confinement.effort import Effort
from sandbox.confinement.processes import (
    descriptors_of,
    is_hidden,
    kibibytes,
    parent_of,
    read_living,
    text_of,
)

#: kcmp(2), and what it compares: whether two processes have one memory.
_KCMP = {"x86_64": 312, "aarch64": 272}.get(os.uname().machine)
_KCMP_VM = 1
_system = ctypes.CDLL(None, use_errno=True)

#: Folders in folders, and files in all; no calculation gets there.
_DEEPEST = 100
_MOST_FILES = 50_000

_BLOCK_BYTES = 512

#: What a socket and a pipe can hold in the system's memory, by default (socket(7), pipe(7)):
#: kernels can make neither larger (`sandbox.inside.seccomp`).
_SOCKET_BYTES = 212_992
_PIPE_BYTES = 65_536


def memory_of(pids: list[int], most: int, effort: Effort) -> int:
    """Bytes of memory of processes together; of less than `most` only about."""
    used = sum(map(_memory_bytes, pids))
    if used <= most:
        return used
    used = 0
    known = set(pids)
    for pid in pids:
        effort.check()
        if not _shares_all(pid, known):
            used += _proportional_bytes(pid)
    return used


def _shares_all(pid: int, known: set[int]) -> bool:
    """Whether a process' memory is its parent's: a child that has not begun its own program.

    What they share would count twice, in each as all its own.
    """
    parent = parent_of(pid)
    return parent in known and _is_one(pid, parent)


def _is_one(pid: int, other: int) -> bool:
    return _KCMP is not None and _system.syscall(_KCMP, pid, other, _KCMP_VM, 0, 0) == 0


def _memory_bytes(pid: int) -> int:
    """Private and shared memory of a process, without files."""
    status = read_living(pid, "status", "\nRssAnon:")
    names = ("\nRssAnon:", "\nRssShmem:", "\nVmSwap:", "\nHugetlbPages:")
    return sum(kibibytes(status, name) for name in names)


def _proportional_bytes(pid: int) -> int:
    """The same with its share only of what processes share; whole where that is kept secret."""
    rollup = read_living(pid, "smaps_rollup", "\nPss_Anon:")
    if not rollup:
        return _memory_bytes(pid)
    names = ("\nPss_Anon:", "\nPss_Shmem:", "\nSwapPss:", "\nPrivate_Hugetlb:")
    return sum(kibibytes(rollup, name) for name in names)


class Held(NamedTuple):
    """What open descriptors hold that is no process' memory, and that no look at a folder finds."""

    #: What sockets and pipes can hold.
    buffers: int
    #: Of files without a name, on one disk.
    unlinked: int
    #: Processes that do not show theirs, of some that do.
    hidden: int


def held_by_descriptors(pids: list[int], path: str, effort: Effort) -> Held:
    """What the descriptors of processes hold, on the disk of `path` where it is files."""
    try:
        device = os.stat(path).st_dev  # noqa: PTH116 - thousands of times a minute
    except OSError:
        device = -1
    # What was forked has its parent's: each is one thing.
    buffers: dict[tuple[int, int], int] = {}
    unlinked: dict[int, int] = {}
    hidden = 0
    for pid in pids:
        effort.check()
        hidden += is_hidden(pid)
        for name in descriptors_of(pid):
            with suppress(OSError):
                file = os.stat(f"/proc/{pid}/fd/{name}")  # noqa: PTH116 - see above
                if stat.S_ISSOCK(file.st_mode):
                    buffers[file.st_dev, file.st_ino] = _SOCKET_BYTES
                elif stat.S_ISFIFO(file.st_mode):
                    buffers[file.st_dev, file.st_ino] = _PIPE_BYTES
                elif file.st_nlink == 0 and file.st_dev == device and stat.S_ISREG(file.st_mode):
                    unlinked[file.st_ino] = file.st_blocks * _BLOCK_BYTES
    # Where none shows itself, it is not the kernel's doing.
    hidden = hidden if hidden < len(pids) else 0
    return Held(sum(buffers.values()), sum(unlinked.values()), hidden)


def shared_of_machine() -> int:
    """Bytes of shared memory that the whole machine uses."""
    return kibibytes(text_of("/proc/meminfo"), "\nShmem:")


class ScratchTooLargeError(Exception):
    """A folder holds more than it may, or hides what it holds."""


def check_scratch(path: str, most_bytes: int) -> None:
    """Raise ScratchTooLargeError if a folder's files, on its own file system, are too much."""
    try:
        root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return
    used = files = 0
    with closing(_entries(root, 0)) as entries:
        for information in entries:
            used += information.st_blocks * _BLOCK_BYTES
            files += 1
            if used > most_bytes:
                raise ScratchTooLargeError(f"more than {most_bytes} bytes in its folder")
            if files > _MOST_FILES:
                raise ScratchTooLargeError(f"more than {_MOST_FILES} files in its folder")


def _entries(folder: int, depth: int) -> Generator[os.stat_result]:
    """All below a folder, which is closed; by descriptors, so that no path gets too long."""
    if depth > _DEEPEST:
        os.close(folder)
        raise ScratchTooLargeError(f"folders in folders, more than {_DEEPEST} deep")
    try:
        for name in os.listdir(folder):
            with suppress(FileNotFoundError, NotADirectoryError):
                information = os.stat(name, dir_fd=folder, follow_symlinks=False)
                yield information
                if stat.S_ISDIR(information.st_mode):
                    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                    yield from _entries(os.open(name, flags, dir_fd=folder), depth + 1)
    except PermissionError as error:
        raise ScratchTooLargeError("a folder that cannot be looked into") from error
    finally:
        os.close(folder)
