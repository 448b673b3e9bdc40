"""What processes take of memory, sockets and disk, also where it is no process' by /proc's account.

Standard library only, like `sandbox.confinement.processes`.
"""

import ctypes
import os
import stat
from collections.abc import Generator
from contextlib import closing, suppress

from sandbox.confinement.processes import (
    descriptors_of,
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

#: What a socket can hold in the system's memory, by default (socket(7)).
_SOCKET_BYTES = 212_992


def memory_of(pids: list[int], most: int) -> int:
    """Bytes of memory of processes together; of less than `most` only about."""
    used = sum(map(_memory_bytes, pids))
    return sum(map(_proportional_bytes, _apart(pids))) if used > most else used


def _apart(pids: list[int]) -> list[int]:
    """Leave out whose memory is its parent's: a child that has not begun its own program.

    What they share would count twice, in each as all its own.
    """
    known = set(pids)
    return [
        pid for pid in pids if not ((parent := parent_of(pid)) in known and _is_one(pid, parent))
    ]


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


def buffer_bytes(pids: list[int], most: int) -> int:
    """What the sockets of processes can hold together, which is no process' memory.

    0 where it cannot be more than `most`: to tell sockets apart takes long.
    """
    if sum(len(descriptors_of(pid)) for pid in pids) * _SOCKET_BYTES <= most:
        return 0
    sockets: set[str] = set()
    for pid in pids:
        for name in descriptors_of(pid):
            with suppress(OSError):
                # What was forked has its parent's.
                link = os.readlink(f"/proc/{pid}/fd/{name}")  # noqa: PTH115 - thousands of them
                if link.startswith("socket:"):
                    sockets.add(link)
    return len(sockets) * _SOCKET_BYTES


def shared_of_machine() -> int:
    """Bytes of shared memory that the whole machine uses."""
    return kibibytes(text_of("/proc/meminfo"), "\nShmem:")


def shared_bytes(pids: list[int]) -> int:
    """Sizes of shared memory that processes have mapped, once each, whether it is theirs or not.

    What was written stays, though a process that lets go of it counts it no more (madvise).
    """
    sizes: dict[str, int] = {}
    for pid in pids:
        for line in read_living(pid, "maps", "-").splitlines():
            if line.endswith("/dev/zero (deleted)"):
                place, _, offset, _, inode, *_ = line.split()
                first, last = (int(word, 16) for word in place.split("-"))
                sizes[inode] = max(sizes.get(inode, 0), int(offset, 16) + last - first)
    return sum(sizes.values())


def unlinked_bytes(pids: list[int], path: str) -> int:
    """What open files hold of a folder's disk that no name leads to, so that no look finds it."""
    try:
        device = os.stat(path).st_dev  # noqa: PTH116 - thousands of times a minute
    except OSError:
        return 0
    found: dict[int, int] = {}
    for pid in pids:
        for name in descriptors_of(pid):
            with suppress(OSError):
                file = os.stat(f"/proc/{pid}/fd/{name}")  # noqa: PTH116 - see above
                if file.st_nlink == 0 and file.st_dev == device and stat.S_ISREG(file.st_mode):
                    found[file.st_ino] = file.st_blocks * _BLOCK_BYTES
    return sum(found.values())


def mapped_bytes(pids: list[int], path: str, longest: int) -> int:
    """What files of a folder hold that no name leads to, and that processes have mapped.

    A file counts that no descriptor leads to either; one with an unknown size as `longest`.
    """
    found: dict[str, int] = {}
    for pid in pids:
        for line in read_living(pid, "maps", "-").splitlines():
            if f" {path}/" in line and line.endswith(" (deleted)"):
                place, _, _, _, inode, _ = line.split(maxsplit=5)
                found[inode] = _mapped_size(pid, place, longest)
    return sum(found.values())


def _mapped_size(pid: int, place: str, longest: int) -> int:
    """Bytes on disk of a file that is mapped at a place; asking takes rights that few have."""
    name = "-".join(f"{int(word, 16):x}" for word in place.split("-"))
    try:
        return os.stat(f"/proc/{pid}/map_files/{name}").st_blocks * _BLOCK_BYTES  # noqa: PTH116 - see above
    except OSError:
        return longest


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
