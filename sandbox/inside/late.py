"""Threads of earlier cells, whose output is no part of the running one."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps


class LateThreads:
    """Knows which threads there were before the running cell, and what these have started since.

    Made by the main thread, which is never late.
    """

    def __init__(self) -> None:
        self._main = threading.get_ident()
        self._older: frozenset[int] = frozenset()
        #: `is_late` of a thread that was started by a late one.
        self._marks = threading.local()

    def begin(self) -> None:
        """Note the threads that are there before a cell."""
        self._older = _other_threads()

    def is_late(self) -> bool:
        """Whether the calling thread is of an earlier cell, or comes from one that is."""
        return threading.get_ident() != self._main and (
            threading.get_native_id() in self._older or getattr(self._marks, "is_late", False)
        )

    def have_descendants(self) -> None:
        """Have what late threads start be late from now on, in this process and in its forks.

        Threads know nothing of who has started them: a timer that sets itself anew would print in
        each later cell.
        """
        start = self._passing_on(threading.Thread.start)
        threading.Thread.start = start  # type: ignore[assignment, method-assign]
        os.register_at_fork(before=self._mark_before_fork)

    def _passing_on(
        self, start: Callable[[threading.Thread], None]
    ) -> Callable[[threading.Thread], None]:
        @wraps(start)
        def start_with_mark(thread: threading.Thread) -> None:
            if self.is_late():
                # A class of the cell's own may allow this, or not.
                with suppress(Exception):
                    vars(thread)["run"] = partial(self._run_late, thread.run)
            start(thread)

        return start_with_mark

    def _run_late(self, run: Callable[[], None]) -> None:
        self._marks.is_late = True
        run()

    def _mark_before_fork(self) -> None:
        # In the fork, the thread's number is another one.
        if self.is_late():
            self._marks.is_late = True


def _other_threads() -> frozenset[int]:
    own = threading.get_native_id()
    return frozenset(int(name) for name in os.listdir("/proc/self/task") if int(name) != own)  # noqa: PTH208 - 3 times faster than pathlib, once a cell
