"""Ends kernels that fill this process's memory.

libzmq bounds the length of a message's part and the number of messages that wait, but not the
number of parts: it keeps them until the last one has come. Code that sends parts without end so
takes memory here, outside the kernel's own bounds. How much of it is whose cannot be asked; the
kernel that causes it is known by its time in system calls.
"""

import logging
import os
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

import anyio

from sandbox.kernel import Kernel
from sandbox.process import family

_logger = logging.getLogger(__name__)

_MIB = 1024 * 1024

#: Growth that nothing here comes to while cells run: results and messages are bounded.
MOST_GROWTH_BYTES = 256 * _MIB

_LOOK_EVERY_S = 0.2

#: Growth that is always allowed, a mebibyte a second: what a server keeps of hours of work.
_STEADY_BYTES_A_LOOK = int(_MIB * _LOOK_EVERY_S)

#: Over how long kernels are compared.
_COMPARE_S = 0.2

#: Of its share of a core, over that time, a sender spends at least so many clock ticks in system
#: calls; what computes spends none.
_LEAST_TICKS = 2

#: Place of the time in system calls in /proc/PID/stat, counted after the command's name.
_SYSTEM_TIME = 12


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
                    await self._end_busiest(now - floor)
                    # The memory takes a moment to be free; growth beyond is another kernel's.
                    floor = now
            await anyio.sleep(_LOOK_EVERY_S)

    async def _end_busiest(self, growth: int) -> None:
        before = {kernel: _system_time(kernel) for kernel in self._kernels()}
        await anyio.sleep(_COMPARE_S)
        used = {
            kernel: _system_time(kernel) - before[kernel]
            for kernel in self._kernels()
            if kernel in before
        }
        busiest = max(used, key=used.__getitem__, default=None)
        if busiest is None or used[busiest] < _LEAST_TICKS:
            _logger.warning("memory here grew by %d MiB, by no kernel's doing", growth // _MIB)
            return
        _logger.error(
            "kernel %d killed: memory here grew by %d MiB while it ran, at most %d are allowed",
            busiest.process.pid,
            growth // _MIB,
            self._most // _MIB,
        )
        busiest.condemn("its messages filled the server's memory")


def own_memory_bytes() -> int | None:
    """Return how much memory of its own this process has, files left out.

    None where that is not told: on other systems, and while no file can be opened.
    """
    try:
        sizes = Path("/proc/self/statm").read_text(encoding="ascii").split()
    except OSError:
        return None
    return (int(sizes[1]) - int(sizes[2])) * os.sysconf("SC_PAGE_SIZE")


def _system_time(kernel: Kernel) -> int:
    """Return how long a kernel's processes have been in system calls, in clock ticks."""
    ticks = 0
    for pid in family(kernel.process.pid):
        with suppress(OSError):
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            ticks += int(stat.rpartition(")")[2].split()[_SYSTEM_TIME])
    return ticks
