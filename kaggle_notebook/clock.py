"""The session's clock: how much of the notebook's limit is left. Standard library alone.

It runs on CLOCK_BOOTTIME, which no step of the wall clock moves and which counts suspended time.
Its start is kept on disk with a wall-clock anchor: within one boot the former decides, after a
reboot the latter.
"""

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def keep_clock(clock: SessionClock, folder: Path, session: Mapping[str, Any] | None = None) -> None:
    """Write the clock's start down, with whose it is. Raises OSError."""
    write_json(folder / FILE, {**anchor_of(clock), "session": dict(session or {})})


def anchor_of(clock: SessionClock) -> dict[str, Any]:
    """Return the clock's start as it is kept: of this boot, and for after another one."""
    return {
        "boot_id": _boot_id(),
        "started_boottime": clock.started,
        "started_wall": time.time() - clock.elapsed_s,
    }


def kept_clock(usable_s: float, folder: Path, also: object = None) -> SessionClock | None:
    """Return the clock that an earlier process kept in the folder, or None.

    `also` is its start as another file has it, should the clock's own be torn.
    """
    found = (_from_anchor(each, usable_s) for each in (read_json(folder / FILE), also))
    return next((clock for clock in found if clock is not None), None)


def _from_anchor(anchor: object, usable_s: float) -> SessionClock | None:
    if not isinstance(anchor, dict):
        return None
    try:
        boottime, wall = float(anchor["started_boottime"]), float(anchor["started_wall"])
        if not (math.isfinite(boottime) and math.isfinite(wall)):
            return None
        if anchor["boot_id"] == _boot_id():
            # no run began after now, whatever a file says
            return SessionClock(usable_s, min(boottime, boottime_s()))
        return SessionClock(usable_s, boottime_s() - max(0.0, time.time() - wall))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return json.dumps(None)
