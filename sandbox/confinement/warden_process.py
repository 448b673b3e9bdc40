"""The warden: a process beside the pool that watches what kernels use, and ends all of a kernel.

Run with a socket as standard input; standard library only. Requests and reports are
lines of JSON (`sandbox.confinement.warden` is the other end). It outlives the pool by a moment:
when the socket closes, however the pool has ended, it ends all that it watches, and itself.
"""

import json
import math
import select
import signal
import socket
import sys
import time
from contextlib import suppress

from sandbox.confinement.ending import Ending, kill
from sandbox.confinement.looking import Watch, WatchedKernel
from sandbox.confinement.processes import processes_of
from sandbox.confinement.usage import shared_of_machine

#: Seconds between two looks. Within that time, a process can take a gigabyte more than it may.
_PERIOD_S = 0.2
#: Looking takes at most this share of a core: with much to look at, looks get rarer, down to one in
#: this many seconds: a kernel must not buy time for itself by giving much to look at.
_LARGEST_SHARE = 0.1
_LONGEST_PERIOD_S = 1.0
#: Looks that are due within so many seconds are one: to find processes is common to all of them.
_TOGETHER_S = 0.05
#: A kernel that takes so many seconds of processor time to look at waits for those that take less:
#: nor must it buy time for others.
_DEAR_S = 0.05

#: Between two rounds of killing.
_KILL_PAUSE_S = 0.01


class Warden:
    """Serves one pool."""

    def __init__(self, link: socket.socket, own_uid: int | None) -> None:
        self._link = link
        #: A user that nobody else is: kernels can do nothing to processes of it.
        self._own_uid = own_uid
        self._watched: dict[int, WatchedKernel] = {}
        self._ending: dict[int, Ending] = {}
        self._pending = b""
        #: Bytes of shared memory of the machine when that was least.
        self._least_shared = shared_of_machine()

    def serve(self) -> None:
        """Work until the pool's end of the socket is closed."""
        poller = select.poll()
        poller.register(self._link, select.POLLIN)
        while not (poller.poll(self._wait_s() * 1000) and not self._receive()):
            self._go_on_ending()
            self._look()
        for number, kernel in self._watched.items():
            self._end(number, kernel.watch, is_awaited=False)
        while self._ending:
            self._go_on_ending()
            time.sleep(_KILL_PAUSE_S)

    def _wait_s(self) -> float:
        if self._ending:
            return _KILL_PAUSE_S
        next_look = min((kernel.due for kernel in self._watched.values()), default=math.inf)
        return min(max(next_look - time.monotonic(), 0), _LONGEST_PERIOD_S)

    def _receive(self) -> bool:
        try:
            data = self._link.recv(65536)
        except ConnectionError:
            # Its end has left reports unread: it has ended all the same.
            return False
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return bool(data)

    def _obey(self, request: dict[str, object]) -> None:
        number = int(str(request["number"]))
        match request["do"]:
            case "watch":
                watch = Watch(**request["watch"])  # type: ignore[arg-type]
                self._watched[number] = WatchedKernel(watch)
            case "kill" if number in self._watched:
                kill(self._watched[number].watch, self._own_uid)
            case "release" if kernel := self._watched.pop(number, None):
                self._end(number, kernel.watch, is_awaited=True)
            case "release":
                self._report({"number": number, "left": 0})

    def _report(self, report: dict[str, object]) -> None:
        # A pool that does not read is closing or stuck; neither may stop the watch.
        with suppress(OSError):
            self._link.send(json.dumps(report).encode() + b"\n", socket.MSG_DONTWAIT)

    def _look(self) -> None:
        """Look at the kernels for which it is time, and end those that use more than they may."""
        begin = time.monotonic()
        due = [
            (kernel.cost > _DEAR_S, kernel.due, number)
            for number, kernel in self._watched.items()
            if kernel.due <= begin + _TOGETHER_S and number not in self._ending
        ]
        if not due:
            return
        # Not by the clock: on a busy machine, waiting for a core would make looks rare.
        spent = time.process_time()
        by_key = processes_of({kernel.watch.uid for kernel in self._watched.values()})
        shared = shared_of_machine()
        self._least_shared = min(self._least_shared, shared)
        finding = (time.process_time() - spent) / len(due)
        for _, _, number in sorted(due):
            kernel = self._watched[number]
            spent = time.process_time()
            reason = kernel.excess(by_key.get(kernel.key, []), shared - self._least_shared)
            if reason:
                self._breach(number, kernel.watch, reason)
            self._plan_next(kernel, time.process_time() - spent + finding)
            if time.monotonic() - begin > _PERIOD_S:
                # It is time for others again, and for what the pool asks.
                break

    def _plan_next(self, kernel: WatchedKernel, taken: float) -> None:
        """Have the next look at a kernel the later the longer it takes, but for one unfinished."""
        wanted = 0.0 if kernel.unfinished else taken * len(self._watched) / _LARGEST_SHARE
        kernel.due = time.monotonic() + min(max(_PERIOD_S, wanted), _LONGEST_PERIOD_S)
        # What was dear once stays it for a while: else every other look could be.
        kernel.cost = max(taken, kernel.cost / 2)

    def _breach(self, number: int, watch: Watch, reason: str) -> None:
        # First told, then done: the pool hears why a kernel ends before it sees it end.
        self._report({"number": number, "breach": reason})
        self._end(number, watch, is_awaited=False)

    def _end(self, number: int, watch: Watch, *, is_awaited: bool) -> None:
        """Begin to kill all of a kernel; others are watched while it takes long."""
        self._ending[number] = Ending(watch, self._own_uid, is_awaited=is_awaited)
        self._go_on_ending(number)

    def _go_on_ending(self, *numbers: int) -> None:
        for number in numbers or tuple(self._ending):
            ending = self._ending[number]
            left = ending.round()
            if left is not None:
                del self._ending[number]
                if ending.is_awaited:
                    self._report({"number": number, "left": left})


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
