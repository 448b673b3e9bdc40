"""Faults on a schedule: `die@600; stall@900+30; slow@1200+60x5; load-die@1`.

Times are the machine's seconds since the gateway opened the engine; `+` is for how long, `x` how
many times slower. Those of loads (`load-die`, `load-slow`, `load-never`) name a start by number.
A fault whose time had passed when this life of the engine began has been, or is left out.
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum


class FaultKind(StrEnum):
    """What goes wrong."""

    LOAD_DIE = "load-die"
    """The n-th start dies."""
    LOAD_SLOW = "load-slow"
    """The n-th start takes so much longer."""
    LOAD_NEVER = "load-never"
    """The n-th start never gets ready."""
    DIE = "die"
    """The process dies, whatever it does."""
    PREFILL_DIE = "prefill-die"
    """It dies in the next prefill."""
    DECODE_DIE = "decode-die"
    """It dies in the next step of a stream."""
    ABORT_DIE = "abort-die"
    """It dies at the next abort."""
    STALL = "stall"
    """Every stream is silent for so long."""
    HANG = "hang"
    """Every stream is silent for good; the process lives, and answers all but generations."""
    STALL_ONE = "stall-one"
    """One stream is silent, until it is aborted."""
    SLOW = "slow"
    """Steps take so many times longer."""
    REFUSE = "refuse"
    """Requests are answered with status 500."""
    CUT = "cut"
    """The connection of one stream breaks."""
    GARBAGE = "garbage"
    """One stream has an event that is no JSON."""
    OUT_OF_RANGE = "out-of-range"
    """One stream has an id that is none of the vocabulary's."""
    NOT_UTF8 = "not-utf8"
    """One stream has an event that is not UTF-8."""


#: Kinds that name a start instead of a time, that last, and that have a factor.
LOADS = {FaultKind.LOAD_DIE, FaultKind.LOAD_SLOW, FaultKind.LOAD_NEVER}
LASTING = {FaultKind.STALL, FaultKind.SLOW, FaultKind.REFUSE, FaultKind.LOAD_SLOW}
SCALED = {FaultKind.SLOW}
_WRITTEN = re.compile(r"([a-z0-9-]+)@(\d+(?:\.\d+)?)(?:\+(\d+(?:\.\d+)?))?(?:x(\d+(?:\.\d+)?))?")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: `at` in seconds (for loads: the number of the start), lasting `seconds`."""

    kind: FaultKind
    at: float
    seconds: float = 0.0
    factor: float = 1.0


def parse_faults(text: str) -> list[Fault]:
    """Return the faults of a schedule, in order of time.

    Raises:
        ValueError: it is malformed; the message says where and what is allowed.
    """
    entries = [] if text.strip() == "none" else text.split(";")
    faults = [_fault(entry.strip()) for entry in entries if entry.strip()]
    return sorted(faults, key=lambda fault: fault.at)


def _fault(entry: str) -> Fault:
    match = _WRITTEN.fullmatch(entry)
    if match is None or match[1] not in list(FaultKind):
        raise ValueError(
            f"{entry!r}: must be KIND@SECONDS, as die@600, stall@900+30 or slow@1200+60x5; kinds"
            f" are {', '.join(FaultKind)}"
        )
    kind, at = FaultKind(match[1]), float(match[2])
    for given, allowed, what in ((match[3], LASTING, "+SECONDS"), (match[4], SCALED, "xFACTOR")):
        if bool(given) != (kind in allowed):
            raise ValueError(f"{entry!r}: {kind} {'needs' if not given else 'has no'} {what}")
    return Fault(kind, at, float(match[3] or 0), float(match[4] or 1))


def later(faults: list[Fault], seconds: float) -> list[Fault]:
    """Return the faults that much later."""
    return [replace(fault, at=fault.at + seconds) for fault in faults]


class Schedule:
    """The faults of one life of the engine; `life` counts its starts from 1."""

    def __init__(self, faults: list[Fault], life: int, begun: float) -> None:
        self._loads = [fault for fault in faults if fault.kind in LOADS and fault.at == life]
        self._lasting: list[Fault] = []
        self._once: list[Fault] = []
        self.add([fault for fault in faults if life == 1 or fault.at >= begun])

    def add(self, faults: list[Fault]) -> None:
        """Take more faults, those of loads left out: this start is over."""
        others = [fault for fault in faults if fault.kind not in LOADS]
        self._lasting += [fault for fault in others if fault.kind in LASTING]
        self._once += [fault for fault in others if fault.kind not in LASTING]

    def load(self, kind: FaultKind) -> Fault | None:
        """Return this start's fault of a kind."""
        return next((fault for fault in self._loads if fault.kind is kind), None)

    def lasting(self, kind: FaultKind, now: float) -> Fault | None:
        """Return the fault of a kind that lasts now."""
        for fault in self._lasting:
            if fault.kind is kind and fault.at <= now < fault.at + fault.seconds:
                return fault
        return None

    def due(self, kind: FaultKind, now: float) -> bool:
        """Tell whether a fault of a kind is due, once each."""
        for fault in self._once:
            if fault.kind is kind and fault.at <= now:
                self._once.remove(fault)
                return True
        return False
