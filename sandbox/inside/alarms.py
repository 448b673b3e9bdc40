"""The alarm clocks of cells (`signal.alarm`, `signal.setitimer`), which stand still between them.

Cells set them as time limits and forget them. Between two cells nothing catches what a handler
raises, which can be in the middle of ZMQ's own code: the kernel would end with all its variables.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

# A cell may put anything in the place of these.
from signal import ITIMER_PROF, ITIMER_REAL, ITIMER_VIRTUAL, setitimer
from time import monotonic

#: They count the time that the process computes, which is a cell's: what is left of it stays.
_OF_PROCESS_TIME = (ITIMER_VIRTUAL, ITIMER_PROF)


class CellAlarm:
    """The alarms that cells have set.

    They go off when they were to, if a cell runs then; what falls between cells is left out.
    """

    def __init__(self) -> None:
        #: Seconds of `time.monotonic`, and those from one alarm to the next; 0.0 when none is set.
        self._due = 0.0
        self._interval_s = 0.0
        #: By clock, the seconds left and those from one alarm to the next.
        self._left: dict[int, tuple[float, float]] = {}

    @contextmanager
    def in_cell(self) -> Iterator[None]:
        """Let them run for the length of the block."""
        self._start()
        try:
            yield
        finally:
            self._stop()

    def _start(self) -> None:
        left_s = self._due - monotonic() if self._due else 0.0
        if self._due and left_s <= 0:
            left_s = self._interval_s
        if left_s > 0:
            setitimer(ITIMER_REAL, left_s, self._interval_s)
        for clock, times in self._left.items():
            setitimer(clock, *times)

    def _stop(self) -> None:
        self._due = self._interval_s = 0.0
        self._left.clear()
        # They may go off in this very moment, and their handlers raise.
        with suppress(BaseException):
            left_s, self._interval_s = setitimer(ITIMER_REAL, 0)
            self._due = monotonic() + left_s if left_s else 0.0
        for clock in _OF_PROCESS_TIME:
            with suppress(BaseException):
                times = setitimer(clock, 0)
                if times[0]:
                    self._left[clock] = times
