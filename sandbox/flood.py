"""Ends kernels that fill this process's memory.

libzmq bounds the length of a message's part and the number of messages that wait, but not the
number of parts: it keeps them until the last one has come. Code that sends parts without end so
takes memory here, outside the kernel's own bounds. How much of it is whose cannot be asked, and
what a kernel's processes do does not tell: who sends waits most of the time where memory is slow
to come. So all are stopped, and the one while which the memory grows when it alone runs is it.
"""

import logging
import os
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import anyio

from sandbox.kernel import Kernel
from sandbox.process import continue_family, stop_family

_logger = logging.getLogger(__name__)

_MIB = 1024 * 1024

#: Growth that nothing here comes to while cells run: results and messages are bounded.
MOST_GROWTH_BYTES = 256 * _MIB

_LOOK_EVERY_S = 0.2

#: Growth that is always allowed, a mebibyte a second: what a server keeps of hours of work.
_STEADY_BYTES_A_LOOK = int(_MIB * _LOOK_EVERY_S)

#: How long each kernel runs alone; the others stand still for as long, one after another.
_ALONE_S = 0.05

#: What the memory grows by in that time if it is the kernel's doing; a cell's messages are less.
_LEAST_GROWTH_BYTES = _MIB


class FloodGuard:
    """Kills the kernel that makes this process's memory grow; does nothing but on Linux.

    `kernels` returns those that may run code of somebody else's.
    """

    def __init__(
        self,
        kernels: Callable[[], Collection[Kernel]],
        most_growth_bytes: int = MOST_GROWTH_BYTES,
    ) -> None:
        self._kernels = kernels
        self._most = most_growth_bytes

    async def watch(self) -> None:
        """Look, until cancelled."""
        floor: int | None = None
        while sys.platform == "linux":
            now = own_memory_bytes()
            if now is not None:
                floor = now if floor is None else min(now, floor + _STEADY_BYTES_A_LOOK)
                if now - floor > self._most:
                    await self._end_sender(now - floor)
                    # The memory takes a moment to be free; growth beyond is another kernel's.
                    floor = now
            await anyio.sleep(_LOOK_EVERY_S)

    async def _end_sender(self, growth: int) -> None:
        sender = await _sender([kernel for kernel in self._kernels() if not _has_ended(kernel)])
        if sender is None:
            _logger.warning("memory here grew by %d MiB, by no kernel's doing", growth // _MIB)
            return
        _logger.error(
            "kernel %d killed: memory here grew by %d MiB while it ran, at most %d are allowed",
            sender.process.pid,
            growth // _MIB,
            self._most // _MIB,
        )
        sender.condemn("its messages filled the server's memory")


def own_memory_bytes() -> int | None:
    """Return how much memory of its own this process has, files left out.

    None where that is not told: on other systems, and while no file can be opened.
    """
    try:
        sizes = Path("/proc/self/statm").read_text(encoding="ascii").split()
    except OSError:
        return None
    return (int(sizes[1]) - int(sizes[2])) * os.sysconf("SC_PAGE_SIZE")


async def _sender(kernels: Sequence[Kernel]) -> Kernel | None:
    """Find the kernel that makes the memory grow most, letting each run alone for a moment."""
    grown: dict[Kernel, int] = {}
    try:
        for kernel in kernels:
            stop_family(kernel.process.pid)
        # What was on its way comes, and what grows then is nobody's.
        await anyio.sleep(_ALONE_S)
        least = _LEAST_GROWTH_BYTES + await _growth()
        for kernel in kernels:
            if _has_ended(kernel):
                continue
            continue_family(kernel.process.pid)
            grown[kernel] = await _growth()
            stop_family(kernel.process.pid)
    finally:
        for kernel in kernels:
            if not _has_ended(kernel):
                continue_family(kernel.process.pid)
    most = max(grown, key=grown.__getitem__, default=None)
    return most if most is not None and grown[most] > least else None


async def _growth() -> int:
    before = own_memory_bytes()
    await anyio.sleep(_ALONE_S)
    after = own_memory_bytes()
    return 0 if before is None or after is None else max(0, after - before)


def _has_ended(kernel: Kernel) -> bool:
    """Whether its id could be another process's."""
    return kernel.process.has_exited()
