"""A kernel's process as the pool sees it: interrupt it, notice its end, kill all of it."""

import asyncio
import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import anyio

#: A process that SIGKILL does not end within this time sits in an uninterruptible system call;
#: nothing can be done for it.
KILL_WAIT_S = 5.0

#: Rounds of looking for descendants that were forked while the earlier ones were signalled.
_SIGNAL_ROUNDS = 10


class KernelProcess(Protocol):
    """A running kernel process, however it came to be; none of the methods blocks or raises."""

    @property
    def pid(self) -> int:
        """Its id, which is also that of its session and process group."""

    @property
    def exit_descriptor(self) -> int:
        """A file descriptor that becomes readable when the process ends."""

    def has_exited(self) -> bool:
        """Whether the process has ended, reaped or not."""

    async def exit_cause(self) -> str:
        """How it ended, in words: "exit code 1", "signal 9"; "running" while it does."""

    def interrupt(self) -> None:
        """Send SIGINT to its process group."""

    def kill(self) -> None:
        """Send SIGKILL to it, its process group and all its descendants."""

    async def aclose(self) -> None:
        """Kill, wait for the end (`KILL_WAIT_S` at most, shielded) and free its resources."""


class ChildProcess:
    """A kernel process that is a child of this one.

    Make it in the event loop's thread: the child dies with the thread that spawned it.
    """

    def __init__(self, popen: "subprocess.Popen[bytes]") -> None:
        self._popen = popen
        self._exit_descriptor: int | None = _open_exit_descriptor(popen)

    @property
    def pid(self) -> int:
        """See KernelProcess."""
        return self._popen.pid

    @property
    def exit_descriptor(self) -> int:
        """See KernelProcess."""
        if self._exit_descriptor is None:
            raise ValueError("process closed: it has no exit descriptor; do not wait for it")
        return self._exit_descriptor

    def has_exited(self) -> bool:
        """See KernelProcess."""
        if self._popen.returncode is not None or self._exit_descriptor is None:
            return self._popen.returncode is not None
        return has_ended(self._exit_descriptor)

    async def exit_cause(self) -> str:
        """See KernelProcess."""
        if not self.has_exited():
            return "running"
        self._kill_group()
        return cause_of(self._popen.wait())

    def interrupt(self) -> None:
        """See KernelProcess."""
        if self._popen.returncode is None:
            send(os.killpg, self.pid, signal.SIGINT)

    def kill(self) -> None:
        """See KernelProcess."""
        if self._popen.returncode is not None:
            return
        kill_tree(self.pid)
        self._kill_group()

    async def aclose(self) -> None:
        """See KernelProcess."""
        if self._exit_descriptor is None:
            return
        self.kill()
        try:
            with anyio.CancelScope(shield=True), anyio.move_on_after(KILL_WAIT_S):
                await wait_readable([self._exit_descriptor])
            await self.exit_cause()
        finally:
            descriptor, self._exit_descriptor = self._exit_descriptor, None
            os.close(descriptor)

    def _kill_group(self) -> None:
        if self._popen.returncode is None:
            send(os.killpg, self.pid, signal.SIGKILL)


def kill_tree(pid: int) -> None:
    """Kill all descendants of a process whose id cannot have become another's; stop itself."""
    # Stopped, it neither forks nor reaps, so what is found stays what it is.
    send(os.kill, pid, signal.SIGSTOP)
    _send_descendants(pid, signal.SIGKILL)


def stop_family(pid: int) -> None:
    """Let a kernel's process, its group and all its descendants run no further."""
    send(os.killpg, pid, signal.SIGSTOP)
    _send_descendants(pid, signal.SIGSTOP)


def continue_family(pid: int) -> None:
    """Let run again what `stop_family` has stopped."""
    for descendant in _descendants(pid):
        send(os.kill, descendant, signal.SIGCONT)
    send(os.killpg, pid, signal.SIGCONT)


def has_ended(pidfd: int) -> bool:
    """Whether a process has ended. Looks without reaping: its id cannot become another's."""
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    return bool(poller.poll(0))


def cause_of(code: int) -> str:
    """An exit code in words; a negative one is a signal's number."""
    if code == -signal.SIGSEGV:
        return f"signal {-code}, as of a recursion that is too deep or has no end"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def send(function: Callable[[int, int], None], pid: int, number: signal.Signals) -> None:
    """Send a signal to what may be gone already."""
    try:
        function(pid, number)
    except (ProcessLookupError, PermissionError):
        # macOS answers "not permitted" for a group of zombies.
        return


async def wait_readable(descriptors: Iterable[int]) -> None:
    """Wait until one of several file descriptors is readable; takes nothing from them."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    watched = []
    try:
        for descriptor in descriptors:
            loop.add_reader(descriptor, readable.set)
            watched.append(descriptor)
        await readable.wait()
    finally:
        for descriptor in watched:
            loop.remove_reader(descriptor)


async def wait_ended(process: KernelProcess) -> None:
    """Wait until a process has ended, while others may watch its exit descriptor too."""
    # An event loop has one watcher a descriptor.
    descriptor = os.dup(process.exit_descriptor)
    try:
        await wait_readable([descriptor])
    finally:
        os.close(descriptor)


def _open_exit_descriptor(popen: "subprocess.Popen[bytes]") -> int:
    if hasattr(os, "pidfd_open"):
        return os.pidfd_open(popen.pid)
    # Elsewhere a thread waits for the child, and the end of a pipe stands for the child's.
    reader, writer = os.pipe()

    def close_at_exit() -> None:
        popen.wait()
        os.close(writer)

    threading.Thread(target=close_at_exit, name=f"wait-{popen.pid}", daemon=True).start()
    return reader


def _descendants(pid: int) -> Iterable[int]:
    """All processes below one, by Linux' lists of children; none elsewhere."""
    # Not recursive: a cell can fork a chain of any length.
    parents = [pid]
    while parents:
        found = _children(parents.pop())
        parents += found
        yield from found


def _send_descendants(pid: int, number: signal.Signals) -> None:
    """Signal all processes below one, also those that are forked meanwhile."""
    signalled: set[int] = set()
    for _ in range(_SIGNAL_ROUNDS):
        found = set(_descendants(pid)) - signalled
        if not found:
            return
        for descendant in found:
            send(os.kill, descendant, number)
        signalled |= found


def _children(pid: int) -> list[int]:
    """The children of a process, which can end while it is looked at: then those seen so far."""
    found: list[int] = []
    with suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - once for each process
            with suppress(OSError):
                children = Path(f"/proc/{pid}/task/{task}/children").read_text(encoding="ascii")
                found += map(int, children.split())
    return found
