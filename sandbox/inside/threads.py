"""Threads of cells that were interrupted: they end too.

An interrupt reaches the main thread alone. What computes in others would go on for the rest of the
lease, and take most of the time of every later cell: with eight workers, eight ninths of it.
"""

import ctypes
import threading
from contextlib import suppress


class CellThreads:
    """Knows which threads the running cell has begun, and ends those of an interrupted one."""

    def __init__(self) -> None:
        self._older: list[threading.Thread] = []
        self._ending: list[threading.Thread] = []

    def begin(self) -> None:
        """Note the threads that are there before a cell."""
        # A worker that was ended in one task goes on with the next that waits for it.
        self._end()
        self._older = threading.enumerate()

    def end_those_of_the_cell(self) -> None:
        """Have the threads that the cell has begun end as soon as they run Python's code."""
        older = set(map(id, self._older))
        self._ending += [
            thread
            for thread in threading.enumerate()
            if id(thread) not in older and not _is_of_messaging(thread)
        ]
        self._end()

    def _end(self) -> None:
        # A class of the cell's own may answer with anything.
        with suppress(Exception):
            self._ending = [thread for thread in self._ending if thread.is_alive()]
            for thread in self._ending:
                # Threads end by it without a word.
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit)
                )


def _is_of_messaging(thread: threading.Thread) -> bool:
    """Return whether ZMQ has begun a thread of its own, which it does when it first needs it."""
    return type(thread).__module__.partition(".")[0] == "zmq"
