"""What options of `quorum journal` say of time and size, as a person writes it."""

import math
import time
from datetime import datetime

from server.journal.errors import MalformedOption
from server.journal.retention import DAY_S, Retention
from server.sections.journal import JournalSettings

MIB = 2**20
#: More MiB than any journal has.
MOST_MIB = 2.0**40
#: Seconds of the units in which an age is given.
UNITS = {"m": 60.0, "h": 3_600.0, "d": DAY_S, "w": 7 * DAY_S}


def moment(text: str) -> float:
    """Return the time that an age ("36h", "2d") or a date ("2026-03-01 12:00") names.

    Raises:
        MalformedOption: it is neither.
    """
    number, unit = text[:-1], UNITS.get(text[-1:])
    try:
        if unit is not None:
            return time.time() - _finite(number) * unit
        return datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError):
        raise MalformedOption(
            f"time {text!r}: must be an age such as 36h or 2d, or a date such as 2026-03-01; "
            "correct it"
        ) from None


def _finite(text: str) -> float:
    """Return a number; `nan` and `inf`, which Python reads too, are none here."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def bounds_of(
    settings: JournalSettings, keep_days: float | None, max_size_mib: float | None
) -> Retention:
    """Return the bounds that are asked for; None is the setting's, and numbers mean the same."""
    days = settings.keep_days if keep_days is None else keep_days
    size = settings.max_size_mib if max_size_mib is None else max_size_mib
    # 0 days is never, as in the setting: it must not delete all that there is.
    return Retention(int(min(size, MOST_MIB) * MIB), days * DAY_S if days else None)
