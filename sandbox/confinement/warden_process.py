"""The warden: a process beside the pool that watches what kernels use, and ends all of a kernel.

Run by its path, with a socket as standard input; standard library only. Requests and reports are
lines of JSON (`sandbox.confinement.warden` is the other end). It outlives the pool by a moment:
when the socket closes, however the pool has ended, it ends all that it watches, and itself.

A kernel's processes are found by their user where it has one of its own, else by the brand that
they carry (`sandbox.inside.limits`). Neither can be shed.
"""

import ctypes
import json
import os
import select
import signal
import socket
import stat
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from typing import NamedTuple

#: Seconds between two looks. Within that time, a process can take a gigabyte more than it may.
_PERIOD_S = 0.2
#: Looking takes at most this share of a core: with much to look at, looks get rarer, down to one in
#: this many seconds: a kernel must not buy time for itself by giving much to look at.
_LARGEST_SHARE = 0.1
_LONGEST_PERIOD_S = 1.0
#: kcmp(2), and what it compares: whether two processes have one memory.
_KCMP = {"x86_64": 312, "aarch64": 272}.get(os.uname().machine)
_KCMP_VM = 1
_system = ctypes.CDLL(None, use_errno=True)

#: Rounds of killing, each of which ends all there is; only processes that sit in an
#: uninterruptible call survive them.
_KILL_ROUNDS = 50
_KILL_PAUSE_S = 0.01

#: Folders in folders, and files in all; no calculation gets there.
_DEEPEST = 100
_MOST_FILES = 50_000

_BLOCK_BYTES = 512

#: Threads of one process that are looked at for one that lives.
_MOST_THREADS = 64

#: What a socket can hold in the system's memory, by default (socket(7)).
_SOCKET_BYTES = 212_992


class Watch(NamedTuple):
    """One kernel: whose processes, and what they may use, in bytes."""

    uid: int | None
    brand: int | None
    memory: int
    scratch: int
    #: The longest file that it can write.
    file: int
    #: Its folder on disk.
    path: str


class ScratchTooLargeError(Exception):
    """A folder holds more than it may, or hides what it holds."""


class Warden:
    """Serves one pool."""

    def __init__(self, link: socket.socket, own_uid: int | None) -> None:
        self._link = link
        #: A user that nobody else is: kernels can do nothing to processes of it.
        self._own_uid = own_uid
        self._watched: dict[int, Watch] = {}
        #: Bytes of each kernel's disk when it was most free.
        self._most_free: dict[int, int] = {}
        self._pending = b""
        self._shared_before = _shared_of_machine()

    def serve(self) -> None:
        """Work until the pool's end of the socket is closed."""
        poller = select.poll()
        poller.register(self._link, select.POLLIN)
        pause = _PERIOD_S
        next_look = time.monotonic() + pause
        while True:
            wait = max(next_look - time.monotonic(), 0)
            if poller.poll(wait * 1000) and not self._receive():
                break
            if time.monotonic() >= next_look:
                # Not by the clock: on a busy machine, waiting for a core would make looks rare.
                begin = time.process_time()
                self._look()
                taken = time.process_time() - begin
                pause = min(max(_PERIOD_S, taken / _LARGEST_SHARE), _LONGEST_PERIOD_S)
                next_look = time.monotonic() + pause
        for watch in self._watched.values():
            self._end(watch)

    def _receive(self) -> bool:
        data = self._link.recv(65536)
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return bool(data)

    def _obey(self, request: dict[str, object]) -> None:
        number = int(str(request["number"]))
        match request["do"]:
            case "watch":
                self._watched[number] = Watch(**request["watch"])  # type: ignore[arg-type]
            case "kill" if number in self._watched:
                self._kill(self._watched[number])
            case "release":
                watch = self._watched.pop(number, None)
                self._most_free.pop(number, None)
                left = self._end(watch) if watch else 0
                self._report({"number": number, "left": left})

    def _report(self, report: dict[str, object]) -> None:
        # A pool that does not read is closing or stuck; neither may stop the watch.
        with suppress(OSError):
            self._link.send(json.dumps(report).encode() + b"\n", socket.MSG_DONTWAIT)

    def _look(self) -> None:
        """End the kernels that use more than they may, and tell why."""
        by_key = _processes({watch.uid for watch in self._watched.values()})
        for number, watch in self._watched.items():
            pids = by_key.get(watch.uid if watch.uid is not None else -(watch.brand or 0), [])
            if reason := self._memory_excess(watch, pids) or self._disk_excess(number, watch, pids):
                self._breach(number, watch, reason)

    def _memory_excess(self, watch: Watch, pids: list[int]) -> str:
        """What a kernel takes too much of; empty where it does not."""
        if (used := _memory_of(pids, watch.memory)) > watch.memory:
            return f"{used} bytes of memory in {len(pids)} processes"
        if self._shared_grew(watch.memory) and (held := _shared_bytes(pids)) > watch.memory:
            return f"{held} bytes of memory that it shares"
        if (held := _buffer_bytes(pids, watch.memory)) > watch.memory:
            return f"buffers for {held} bytes in sockets"
        return ""

    def _disk_excess(self, number: int, watch: Watch, pids: list[int]) -> str:
        """What a kernel's files hold too much of; empty where they do not."""
        held = _unlinked_bytes(pids, watch.path)
        if held <= watch.scratch and self._disk_shrank(number, watch):
            held = _mapped_bytes(pids, watch)
        if held > watch.scratch:
            return f"{held} bytes in files without a name"
        try:
            _check_scratch(watch.path, watch.scratch)
        except ScratchTooLargeError as error:
            return str(error)
        return ""

    def _disk_shrank(self, number: int, watch: Watch) -> bool:
        """Whether a kernel's disk has lost more, whoever has taken it, than the kernel may hold."""
        try:
            disk = os.statvfs(watch.path)
        except OSError:
            return False
        free = disk.f_bfree * disk.f_frsize
        self._most_free[number] = most = max(self._most_free.get(number, free), free)
        return most - free > watch.scratch

    def _shared_grew(self, most: int) -> bool:
        """Whether the machine's shared memory has grown by more than a kernel may have."""
        return _shared_of_machine() - self._shared_before > most

    def _breach(self, number: int, watch: Watch, reason: str) -> None:
        # First told, then done: the pool hears why a kernel ends before it sees it end.
        self._report({"number": number, "breach": reason})
        self._end(watch)

    def _end(self, watch: Watch) -> int:
        """Kill until nothing is left; returns how many processes resist."""
        left: list[int] = []
        for _ in range(_KILL_ROUNDS):
            self._kill(watch)
            left = _alive(watch)
            if not left:
                break
            time.sleep(_KILL_PAUSE_S)
        return len(left)

    def _kill(self, watch: Watch) -> None:
        if watch.uid is not None and self._own_uid is not None:
            _kill_user(watch.uid, self._own_uid)
        elif watch.brand is not None:
            for number in (signal.SIGSTOP, signal.SIGKILL):
                _signal_branded(watch.brand, number)


def _kill_user(uid: int, own_uid: int) -> None:
    """SIGKILL to all of a user's processes at once: what is being forked does not escape.

    The child that sends it may, by its effective user, but is of a user whom they cannot signal.
    """
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresuid(own_uid, uid, own_uid)
            os.kill(-1, signal.SIGKILL)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def _signal_branded(brand: int, number: signal.Signals) -> None:
    """Signal all processes with a brand, also those forked meanwhile."""
    signalled: set[int] = set()
    for _ in range(_KILL_ROUNDS):
        found = {pid for pid in _pids() if _brand(pid) == brand} - signalled
        if not found:
            return
        for pid in found:
            with suppress(OSError):
                descriptor = os.pidfd_open(pid)
                try:
                    # Read again: until now the id could have become another's.
                    if _brand(pid) == brand:
                        signal.pidfd_send_signal(descriptor, number)
                finally:
                    os.close(descriptor)
        signalled |= found


def _alive(watch: Watch) -> list[int]:
    if watch.uid is not None:
        found = [pid for pid in _pids() if _real_user(pid) == watch.uid]
    else:
        found = [pid for pid in _pids() if watch.brand and _brand(pid) == watch.brand]
    return [pid for pid in found if not _is_zombie(pid)]


def _processes(users: set[int | None]) -> dict[int, list[int]]:
    """Ids of processes by user id, for these users, and by brand, as a negative number."""
    found: dict[int, list[int]] = {}
    me = os.geteuid()
    for pid in _pids():
        with suppress(OSError):
            owner = os.stat(f"/proc/{pid}").st_uid  # noqa: PTH116 - thousands of times a minute
            if owner in users:
                found.setdefault(owner, []).append(pid)
            elif owner == me and None in users and (brand := _brand(pid)):
                found.setdefault(-brand, []).append(pid)
    return found


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 - see above


def _read(pid: int, name: str) -> str:
    return _text(f"/proc/{pid}/{name}")


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:  # noqa: PTH123 - see above
            return file.read()
    except OSError:
        return ""


def _field(text: str, name: str) -> str:
    """A line of a file of /proc, without its name."""
    start = text.find(f"{name}")
    return text[start + len(name) :].partition("\n")[0] if start >= 0 else ""


def _brand(pid: int) -> int:
    words = _field(_read(pid, "limits"), "Max realtime timeout").split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


def _real_user(pid: int) -> int:
    words = _field(_read(pid, "status"), "\nUid:").split()
    return int(words[0]) if words else -1


def _is_zombie(pid: int) -> bool:
    return _field(_read(pid, "status"), "\nState:").strip()[:1] in {"Z", "X", ""}


def _memory_of(pids: list[int], most: int) -> int:
    """Bytes of memory of processes together; of less than `most` only about."""
    used = sum(map(_memory_bytes, pids))
    return sum(map(_proportional_bytes, _apart(pids))) if used > most else used


def _apart(pids: list[int]) -> list[int]:
    """Leave out whose memory is its parent's: a child that has not begun its own program.

    What they share would count twice, in each as all its own.
    """
    known = set(pids)
    return [pid for pid in pids if not ((parent := _parent(pid)) in known and _is_one(pid, parent))]


def _parent(pid: int) -> int:
    words = _field(_read(pid, "status"), "\nPPid:").split()
    return int(words[0]) if words else 0


def _is_one(pid: int, other: int) -> bool:
    return _KCMP is not None and _system.syscall(_KCMP, pid, other, _KCMP_VM, 0, 0) == 0


def _memory_bytes(pid: int) -> int:
    """Private and shared memory of a process, without files."""
    status = _read_living(pid, "status", "\nRssAnon:")
    names = ("\nRssAnon:", "\nRssShmem:", "\nVmSwap:", "\nHugetlbPages:")
    return sum(_kibibytes(status, name) for name in names)


def _proportional_bytes(pid: int) -> int:
    """The same with its share only of what processes share; whole where that is kept secret."""
    rollup = _read_living(pid, "smaps_rollup", "\nPss_Anon:")
    if not rollup:
        return _memory_bytes(pid)
    names = ("\nPss_Anon:", "\nPss_Shmem:", "\nSwapPss:", "\nPrivate_Hugetlb:")
    return sum(_kibibytes(rollup, name) for name in names)


def _read_living(pid: int, name: str, wanted: str) -> str:
    """Read a process' file; of a living thread where its first has ended, which hides the rest."""
    text = _read(pid, name)
    if wanted in text:
        return text
    for thread in _names(f"/proc/{pid}/task")[:_MOST_THREADS]:
        if wanted in (text := _read(pid, f"task/{thread}/{name}")):
            return text
    return ""


def _buffer_bytes(pids: list[int], most: int) -> int:
    """What the sockets of processes can hold together, which is no process' memory.

    0 where it cannot be more than `most`: to tell sockets apart takes long.
    """
    if sum(len(_descriptors(pid)) for pid in pids) * _SOCKET_BYTES <= most:
        return 0
    sockets: set[str] = set()
    for pid in pids:
        for name in _descriptors(pid):
            with suppress(OSError):
                # What was forked has its parent's.
                link = os.readlink(f"/proc/{pid}/fd/{name}")  # noqa: PTH115 - thousands of them
                if link.startswith("socket:"):
                    sockets.add(link)
    return len(sockets) * _SOCKET_BYTES


def _shared_of_machine() -> int:
    return _kibibytes(_text("/proc/meminfo"), "\nShmem:")


def _shared_bytes(pids: list[int]) -> int:
    """Sizes of shared memory that processes have mapped, once each, whether it is theirs or not.

    What was written stays, though a process that lets go of it counts it no more (madvise).
    """
    sizes: dict[str, int] = {}
    for pid in pids:
        for line in _read_living(pid, "maps", "-").splitlines():
            if line.endswith("/dev/zero (deleted)"):
                place, _, offset, _, inode, *_ = line.split()
                first, last = (int(word, 16) for word in place.split("-"))
                sizes[inode] = max(sizes.get(inode, 0), int(offset, 16) + last - first)
    return sum(sizes.values())


def _unlinked_bytes(pids: list[int], path: str) -> int:
    """What open files hold of a folder's disk that no name leads to, so that no look finds it."""
    try:
        device = os.stat(path).st_dev  # noqa: PTH116 - thousands of times a minute
    except OSError:
        return 0
    found: dict[int, int] = {}
    for pid in pids:
        for name in _descriptors(pid):
            with suppress(OSError):
                file = os.stat(f"/proc/{pid}/fd/{name}")  # noqa: PTH116 - see above
                if file.st_nlink == 0 and file.st_dev == device and stat.S_ISREG(file.st_mode):
                    found[file.st_ino] = file.st_blocks * _BLOCK_BYTES
    return sum(found.values())


def _mapped_bytes(pids: list[int], watch: Watch) -> int:
    """What files of a kernel's folder hold that no name leads to, and that processes have mapped.

    A file counts that no descriptor leads to either; one with an unknown size as the longest.
    """
    found: dict[str, int] = {}
    for pid in pids:
        for line in _read_living(pid, "maps", "-").splitlines():
            if f" {watch.path}/" in line and line.endswith(" (deleted)"):
                place, _, _, _, inode, _ = line.split(maxsplit=5)
                found[inode] = _mapped_size(pid, place, watch.file)
    return sum(found.values())


def _mapped_size(pid: int, place: str, longest: int) -> int:
    """Bytes on disk of a file that is mapped at a place; asking takes rights that few have."""
    name = "-".join(f"{int(word, 16):x}" for word in place.split("-"))
    try:
        return os.stat(f"/proc/{pid}/map_files/{name}").st_blocks * _BLOCK_BYTES  # noqa: PTH116 - see above
    except OSError:
        return longest


def _descriptors(pid: int) -> list[str]:
    found = _names(f"/proc/{pid}/fd")
    if found:
        return found
    # Of a process whose first thread has ended those of another.
    threads = _names(f"/proc/{pid}/task")[:_MOST_THREADS]
    return next((names for each in threads if (names := _names(f"/proc/{pid}/task/{each}/fd"))), [])


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)  # noqa: PTH208 - thousands of times a minute
    except OSError:
        return []


def _kibibytes(text: str, name: str) -> int:
    words = _field(text, name).split()
    return int(words[0]) * 1024 if words else 0


def _check_scratch(path: str, most_bytes: int) -> None:
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


def main() -> None:
    """Serve the socket that standard input is; the argument is a user id of its own, or nothing."""
    # The pool decides when this ends: by closing the socket.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    own_uid = int(sys.argv[1]) if len(sys.argv) > 1 else None
    with socket.socket(fileno=0) as link:
        link.sendall(b"{}\n")
        with suppress(ConnectionError):
            Warden(link, own_uid).serve()


if __name__ == "__main__":
    main()
