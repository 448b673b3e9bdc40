"""The signal handlers of cells, which are called in cells alone.

A signal can come at any time: from a child that a cell has left, or a thread that is to end what
takes too long. Between two cells nothing catches what a handler raises (see `alarms`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

# A cell may put anything in the place of these.
from signal import SIGINT, getsignal, signal, valid_signals
from types import FrameType

_OTHERS = tuple(map(int, valid_signals() - {SIGINT}))
_TRIES = 3

Handler = Callable[[int, FrameType | None], object]


class CellHandlers:
    """Handlers that cells have set. What comes between cells is left out."""

    def __init__(self) -> None:
        self._of_cells: dict[int, Handler] = {}

    @contextmanager
    def in_cell(self, interrupt: Handler) -> Iterator[None]:
        """Let them be called for the length of the block.

        `interrupt` is the handler of SIGINT, in each cell anew and between cells too.
        """
        signal(SIGINT, interrupt)
        try:
            for number, handler in self._of_cells.items():
                signal(number, handler)
            yield
        finally:
            # One may be called in this very moment, and raise.
            for _ in range(_TRIES):
                with suppress(BaseException):
                    self._take(interrupt)
                    break

    def _take(self, interrupt: Handler) -> None:
        signal(SIGINT, interrupt)
        for number in _OTHERS:
            handler = getsignal(number)
            if handler is _leave_out:
                continue
            if callable(handler):
                self._of_cells[number] = handler
                signal(number, _leave_out)
            else:
                self._of_cells.pop(number, None)


def _leave_out(number: int, frame: FrameType | None) -> None:
    """Nothing: no cell runs that it could be meant for."""
