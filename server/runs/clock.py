"""The clock of a run: it goes on while the server is away, and no step of the wall clock moves it.

CLOCK_BOOTTIME counts from the machine's boot, through sleep, whoever looks at it; so within one
boot it measures a run over any number of servers. Over a boot only the wall clock is left. The
anchor has both, and how much of the run was gone when they stood so; it is kept in the journal.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: Where there is no CLOCK_BOOTTIME (macOS), the monotonic clock outlives a process too.
BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clocks(Protocol):
    """The clocks of a machine."""

    def boot(self) -> str:
        """Return a name of this boot of the machine; empty where it has none."""
        ...

    def boot_s(self) -> float:
        """Return the seconds since the boot."""
        ...

    def wall_s(self) -> float:
        """Return the seconds since 1970, as far as the machine knows."""
        ...


class SystemClocks:
    """The clocks of this machine."""

    def boot(self) -> str:
        """Return the kernel's random name of this boot."""
        try:
            return BOOT_ID.read_text(encoding="ascii").strip()
        except OSError:
            return ""

    def boot_s(self) -> float:
        """Return CLOCK_BOOTTIME."""
        return time.clock_gettime(BOOT_CLOCK)

    def wall_s(self) -> float:
        """Return the wall clock."""
        return time.time()


@dataclass(frozen=True, slots=True)
class Anchor:
    """`elapsed_s` seconds of a run were gone when the clocks stood so."""

    elapsed_s: float
    boot: str
    boot_s: float
    wall_s: float


class RunClock:
    """Measures one run from an anchor."""

    def __init__(self, anchor: Anchor, clocks: Clocks) -> None:
        self._clocks = clocks
        self.anchor = anchor
        boot_s = clocks.boot_s()
        if clocks.boot() != anchor.boot or boot_s < anchor.boot_s:
            # Another boot, or another time namespace: the wall clock tells how long it took.
            wall_s = clocks.wall_s()
            gone_s = max(wall_s - anchor.wall_s, 0.0)
            self.anchor = Anchor(anchor.elapsed_s + gone_s, clocks.boot(), boot_s, wall_s)

    @classmethod
    def start(cls, clocks: Clocks, elapsed_s: float = 0.0) -> "RunClock":
        """Return a clock that starts now, `elapsed_s` seconds into the run."""
        return cls(Anchor(elapsed_s, clocks.boot(), clocks.boot_s(), clocks.wall_s()), clocks)

    def elapsed_s(self) -> float:
        """Return the seconds of the run that are gone."""
        return self.anchor.elapsed_s + max(self._clocks.boot_s() - self.anchor.boot_s, 0.0)
