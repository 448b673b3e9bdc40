"""A look at one kernel: whether it uses more than it may.

Standard library only, like `sandbox.confinement.processes`.
"""

import os
from typing import NamedTuple

from sandbox.confinement.effort import Effort, NotSeenError
from sandbox.confinement.maps import mapped_bytes, shared_bytes
from sandbox.confinement.sight import eyes_of
from sandbox.confinement.usage import (
    ScratchTooLargeError,
    check_scratch,
    held_by_descriptors,
    memory_of,
)

#: The longest look, in seconds of processor time. Eight processes that each have 500 maps, 64 files
#: open and 4 GiB of one memory that they share take a fifth of a second, ordinary ones a hundredth.
_LONGEST_LOOK_S = 0.5
#: So many looks in a row that do not show all end a kernel: what is not seen cannot be bounded. Not
#: one alone: a process that becomes another user, as kernels do, is hidden for a moment.
_MOST_UNFINISHED = 3


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


class WatchedKernel:
    """A kernel, and what earlier looks have shown."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        #: When the next look is due, by the monotonic clock.
        self.due = 0.0
        #: Processor time that looks took of late, in seconds.
        self.cost = 0.0
        #: Looks in a row that did not show all.
        self.unfinished = 0
        #: Bytes of its disk when that was most free.
        self._most_free = 0

    @property
    def key(self) -> int:
        """Under which `processes_of` lists its processes."""
        return self.watch.uid if self.watch.uid is not None else -(self.watch.brand or 0)

    def excess(self, pids: list[int], shared_growth: int) -> str:
        """What a kernel with these processes takes too much of; empty where it does not.

        Args:
            pids: its processes.
            shared_growth: bytes of shared memory that the machine has come to use.
        """
        effort = Effort(_LONGEST_LOOK_S)
        try:
            with eyes_of(self.watch.uid):
                reason = self._memory_excess(pids, shared_growth, effort)
                reason = reason or self._held_excess(pids, effort)
        except NotSeenError as error:
            self.unfinished += 1
            return f"{error}" if self.unfinished >= _MOST_UNFINISHED else self._folder_excess()
        self.unfinished = 0
        return reason or self._folder_excess()

    def _memory_excess(self, pids: list[int], shared_growth: int, effort: Effort) -> str:
        most = self.watch.memory
        if (used := memory_of(pids, most, effort)) > most:
            return f"{used} bytes of memory in {len(pids)} processes"
        # Reading maps takes long: only when somebody has taken so much.
        if shared_growth > most and (held := shared_bytes(pids, most, effort)) > most:
            return f"{held} bytes of memory that it shares"
        return ""

    def _held_excess(self, pids: list[int], effort: Effort) -> str:
        watch = self.watch
        buffers, unlinked, hidden = held_by_descriptors(pids, watch.path, effort)
        if buffers > watch.memory:
            return f"buffers for {buffers} bytes in sockets and pipes"
        if unlinked <= watch.scratch and self._disk_shrank():
            unlinked = mapped_bytes(pids, watch.path, watch.file, effort)
        if unlinked > watch.scratch:
            return f"{unlinked} bytes in files without a name"
        if hidden:
            raise NotSeenError(f"what cannot be seen, in {hidden} of {len(pids)} processes")
        return ""

    def _folder_excess(self) -> str:
        try:
            check_scratch(self.watch.path, self.watch.scratch)
        except ScratchTooLargeError as error:
            return str(error)
        return ""

    def _disk_shrank(self) -> bool:
        """Whether its disk has lost more, whoever has taken it, than the kernel may hold."""
        try:
            disk = os.statvfs(self.watch.path)
        except OSError:
            return False
        free = disk.f_bfree * disk.f_frsize
        self._most_free = max(self._most_free, free)
        return self._most_free - free > self.watch.scratch
