"""The session's clock: how much of the notebook's limit is left. Standard library alone.

It runs on CLOCK_BOOTTIME, which no step of the wall clock moves and which counts suspended time.
Its start is kept on disk with a wall-clock anchor: within one boot the former decides, after a
reboot the latter.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kaggle_notebook.files import read_json, write_json

FILE = "clock.json"
#: A notebook whose first cell comes later than this after its process is no contest run: there the
#: inference server must answer 900 s after the start.
STARTUP_LIMIT_S = 900.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boottime_s() -> float:
    """Return seconds since boot, suspended time included; `time.monotonic` where unknown."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def process_age_s() -> float:
    """Return for how long this process has run, in seconds; 0 where the system does not say."""
    try:
        stat = Path("/proc/self/stat").read_text(encoding="utf-8")
        ticks = float(stat.rpartition(")")[2].split()[19])
        return max(0.0, boottime_s() - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return 0.0


def elapsed_at_start_s() -> float:
    """Return how much of the limit is gone at the first cell: this process's age, if plausible."""
    age_s = process_age_s()
    return age_s if age_s <= STARTUP_LIMIT_S else 0.0


@dataclass(frozen=True, slots=True)
class SessionClock:
    """Counts down from `usable_s`; ``started`` is of `boottime`, in seconds."""

    usable_s: float
    started: float
    boottime: Callable[[], float] = boottime_s

    @property
    def elapsed_s(self) -> float:
        """Seconds since the notebook's start."""
        return max(0.0, self.boottime() - self.started)

    @property
    def left_s(self) -> float:
        """Seconds that may still be used; 0 once they are gone."""
        return max(0.0, self.usable_s - self.elapsed_s)


def start_clock(usable_s: float, elapsed_s: float) -> SessionClock:
    """Return a clock of which `elapsed_s` is gone."""
    return SessionClock(usable_s, boottime_s() - elapsed_s)


def keep_clock(clock: SessionClock, folder: Path) -> None:
    """Write the clock's start down. Raises OSError."""
    anchor = {
        "boot_id": _boot_id(),
        "started_boottime": clock.started,
        "started_wall": time.time() - clock.elapsed_s,
    }
    write_json(folder / FILE, anchor)


def kept_clock(usable_s: float, folder: Path) -> SessionClock | None:
    """Return the clock that an earlier process kept in the folder, or None."""
    anchor = read_json(folder / FILE)
    if anchor is None:
        return None
    try:
        if anchor["boot_id"] == _boot_id():
            return SessionClock(usable_s, float(anchor["started_boottime"]))
        elapsed_s = max(0.0, time.time() - float(anchor["started_wall"]))
        return SessionClock(usable_s, boottime_s() - elapsed_s)
    except (KeyError, TypeError, ValueError):
        return None


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return json.dumps(None)
