"""The alarm clock of cells (`signal.alarm`, `signal.setitimer`), which stands still between them.

Cells set it as a time limit and forget it. Between two cells nothing catches what its handler
raises, which can be in the middle of ZMQ's own code: the kernel would end with all its variables.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

# A cell may put anything in the place of these.
from signal import ITIMER_REAL, setitimer
from time import monotonic


class CellAlarm:
    """The alarm that cells have set.

    It goes off when it was to, if a cell runs then; what falls between cells is left out.
    """

    def __init__(self) -> None:
        #: Seconds of `time.monotonic`, and those from one alarm to the next; 0.0 when none is set.
        self._due = 0.0
        self._interval_s = 0.0

    @contextmanager
    def in_cell(self) -> Iterator[None]:
        """Let it run for the length of the block."""
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

    def _stop(self) -> None:
        self._due = self._interval_s = 0.0
        # It may go off in this very moment, and its handler raise.
        with suppress(BaseException):
            left_s, self._interval_s = setitimer(ITIMER_REAL, 0)
            self._due = monotonic() + left_s if left_s else 0.0
