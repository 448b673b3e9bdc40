"""The warden: a process beside the pool that watches what kernels use, and ends all of a kernel.

Run with a socket as standard input; standard library only. Requests and reports are
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
import sys
import time
from contextlib import suppress
from typing import NamedTuple

from sandbox.confinement.processes import (
    all_pids,
    brand_of,
    is_zombie,
    processes_of,
    real_user_of,
)
from sandbox.confinement.usage import (
    ScratchTooLargeError,
    buffer_bytes,
    check_scratch,
    mapped_bytes,
    memory_of,
    shared_bytes,
    shared_of_machine,
    unlinked_bytes,
)

#: Seconds between two looks. Within that time, a process can take a gigabyte more than it may.
_PERIOD_S = 0.2
#: Looking takes at most this share of a core: with much to look at, looks get rarer, down to one in
#: this many seconds: a kernel must not buy time for itself by giving much to look at.
_LARGEST_SHARE = 0.1
_LONGEST_PERIOD_S = 1.0

#: Rounds of killing, each of which ends all there is; only processes that sit in an
#: uninterruptible call survive them.
_KILL_ROUNDS = 50
_KILL_PAUSE_S = 0.01


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
        self._shared_before = shared_of_machine()

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
        by_key = processes_of({watch.uid for watch in self._watched.values()})
        for number, watch in self._watched.items():
            pids = by_key.get(watch.uid if watch.uid is not None else -(watch.brand or 0), [])
            if reason := self._memory_excess(watch, pids) or self._disk_excess(number, watch, pids):
                self._breach(number, watch, reason)

    def _memory_excess(self, watch: Watch, pids: list[int]) -> str:
        """What a kernel takes too much of; empty where it does not."""
        if (used := memory_of(pids, watch.memory)) > watch.memory:
            return f"{used} bytes of memory in {len(pids)} processes"
        if self._shared_grew(watch.memory) and (held := shared_bytes(pids)) > watch.memory:
            return f"{held} bytes of memory that it shares"
        if (held := buffer_bytes(pids, watch.memory)) > watch.memory:
            return f"buffers for {held} bytes in sockets"
        return ""

    def _disk_excess(self, number: int, watch: Watch, pids: list[int]) -> str:
        """What a kernel's files hold too much of; empty where they do not."""
        held = unlinked_bytes(pids, watch.path)
        if held <= watch.scratch and self._disk_shrank(number, watch):
            held = mapped_bytes(pids, watch.path, watch.file)
        if held > watch.scratch:
            return f"{held} bytes in files without a name"
        try:
            check_scratch(watch.path, watch.scratch)
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
        return shared_of_machine() - self._shared_before > most

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
        found = {pid for pid in all_pids() if brand_of(pid) == brand} - signalled
        if not found:
            return
        for pid in found:
            with suppress(OSError):
                descriptor = os.pidfd_open(pid)
                try:
                    # Read again: until now the id could have become another's.
                    if brand_of(pid) == brand:
                        signal.pidfd_send_signal(descriptor, number)
                finally:
                    os.close(descriptor)
        signalled |= found


def _alive(watch: Watch) -> list[int]:
    if watch.uid is not None:
        found = [pid for pid in all_pids() if real_user_of(pid) == watch.uid]
    else:
        found = [pid for pid in all_pids() if watch.brand and brand_of(pid) == watch.brand]
    return [pid for pid in found if not is_zombie(pid)]


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
