"""Address space that a cell may not take: what tells of its end needs some.

Where a cell's own small objects have filled the limit, the thread that sends its output could not
begin, nor the error be written: the pool would see a kernel that stopped answering, and lose it.
"""

import resource
import sys

_RESERVE_BYTES = 96 << 20
#: What a cell can take in any case, as far as there is so much.
_ROOM_BYTES = 32 << 20
#: Of small limits, one part in so many.
_LEAST_PART = 8


class MemoryReserve:
    """Lowers the soft limit on address space while a cell runs; the hard one stays."""

    def __init__(self) -> None:
        self._set: int | None = None

    def keep(self) -> None:
        """Keep the reserve from what runs now, unless it has a limit of its own."""
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        if sys.platform != "linux" or hard == resource.RLIM_INFINITY or soft != hard:
            return
        least = hard - min(_RESERVE_BYTES, hard // _LEAST_PART)
        # After a cell that filled it all, the next one must be able to let go of something.
        self._set = min(max(least, _address_space() + _ROOM_BYTES), hard)
        resource.setrlimit(resource.RLIMIT_AS, (self._set, hard))

    def give(self) -> None:
        """Let the reserve be used; a limit that a cell has set for itself stays."""
        wanted, self._set = self._set, None
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        if wanted is not None and soft == wanted:
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _address_space() -> int:
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - once a cell
        return int(file.read().split()[0]) * resource.getpagesize()
