"""The warden: a process beside the pool that watches what kernels use, and ends all of a kernel.

Run by its path, with a socket as standard input; standard library only. Requests and reports are
lines of JSON (`sandbox.confinement.warden` is the other end). It outlives the pool by a moment:
when the socket closes, however the pool has ended, it ends all that it watches, and itself.

A kernel's processes are found by their user where it has one of its own, else by the brand that
they carry (`sandbox.inside.limits`). Neither can be shed.
"""

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
#: Looking takes at most this share of a core: with much to look at, looks get rarer.
_LARGEST_SHARE = 0.1

#: Rounds of killing, each of which ends all there is; only processes that sit in an
#: uninterruptible call survive them.
_KILL_ROUNDS = 50
_KILL_PAUSE_S = 0.01

#: Folders in folders, and files in all; no calculation gets there.
_DEEPEST = 100
_MOST_FILES = 50_000

_BLOCK_BYTES = 512

#: What a socket can hold in the system's memory, by default (socket(7)).
_SOCKET_BYTES = 212_992


class Watch(NamedTuple):
    """One kernel: whose processes, and what they may use, in bytes."""

    uid: int | None
    brand: int | None
    memory: int
    scratch: int
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
        self._pending = b""

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
                next_look = time.monotonic() + max(_PERIOD_S, taken / _LARGEST_SHARE)
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
            if (
                sum(map(_memory_bytes, pids)) > watch.memory
                and (used := sum(map(_proportional_bytes, pids))) > watch.memory
            ):
                self._breach(number, watch, f"{used} bytes of memory in {len(pids)} processes")
                continue
            if (held := _buffer_bytes(pids, watch.memory)) > watch.memory:
                self._breach(number, watch, f"buffers for {held} bytes in sockets")
                continue
            try:
                _check_scratch(watch.path, watch.scratch)
            except ScratchTooLargeError as error:
                self._breach(number, watch, str(error))

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
    try:
        with open(f"/proc/{pid}/{name}", encoding="ascii", errors="replace") as file:  # noqa: PTH123
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


def _memory_bytes(pid: int) -> int:
    """Private and shared memory of a process, without files."""
    status = _read(pid, "status")
    return sum(_kibibytes(status, name) for name in ("\nRssAnon:", "\nRssShmem:"))


def _proportional_bytes(pid: int) -> int:
    """The same with its share only of what processes share; whole where that is kept secret."""
    rollup = _read(pid, "smaps_rollup")
    if not rollup:
        return _memory_bytes(pid)
    return sum(_kibibytes(rollup, name) for name in ("\nPss_Anon:", "\nPss_Shmem:"))


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


def _descriptors(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208 - thousands of times a minute
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
