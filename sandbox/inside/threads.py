"""Threads of cells that were interrupted: they end too.

An interrupt reaches the main thread alone. What computes in others would go on for the rest of the
lease, and take most of the time of every later cell: with eight workers, eight ninths of it.
"""

import ctypes
import threading
from contextlib import suppress

from sandbox.inside.pools import (
    CellInterrupted,
    drop_tasks,
    is_executors,
    is_managing,
    is_waiting_thread,
)


class CellThreads:
    """Knows which threads the running cell has begun, and ends those of an interrupted one."""

    def __init__(self) -> None:
        self._older: list[threading.Thread] = []
        self._ending: list[threading.Thread] = []

    def begin(self) -> None:
        """Note the threads that are there before a cell."""
        # One that was ended in a call that takes long can have caught it.
        self._end()
        self._older = [each for each in threading.enumerate() if not _waits(each)]

    def end_those_of_the_cell(self) -> None:
        """Have the threads that the cell has begun end as soon as they run Python's code.

        Pools forget the tasks of the cell.
        """
        older = set(map(id, self._older))
        ending = [
            thread
            for thread in threading.enumerate()
            if id(thread) not in older and not _is_left_alone(thread)
        ]
        self._ending += ending
        # First: whoever ends would go on with the next task.
        with suppress(Exception):
            drop_tasks(ending)
        self._end()

    def _end(self) -> None:
        # A class of the cell's own may answer with anything.
        with suppress(Exception):
            self._ending = [thread for thread in self._ending if thread.is_alive()]
            for thread in self._ending:
                # Threads end by SystemExit without a word; a task of a pool tells what it got.
                error = CellInterrupted if is_executors(thread) else SystemExit
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(thread.ident or 0), ctypes.py_object(error)
                )


def _waits(thread: threading.Thread) -> bool:
    with suppress(Exception):
        return is_waiting_thread(thread)
    return False


def _is_left_alone(thread: threading.Thread) -> bool:
    """Return whether a thread has no task, or serves others: pools, or ZMQ, when it needs one."""
    with suppress(Exception):
        is_of_messaging = type(thread).__module__.partition(".")[0] == "zmq"
        return is_of_messaging or is_managing(thread) or is_waiting_thread(thread)
    return False
