"""Small writes and reads in a thread of their own, so that a disk that hangs delays no answer.

Standard library alone.
"""

import queue
import threading
from collections.abc import Callable
from typing import Any

#: Seconds of waiting that are left while earlier work has not come to an end in its time.
STUCK_WAIT_S = 0.1
#: Work that waits; above this a disk has hung for very long, and what comes is refused.
MOST_WAITING = 2_000


class Disk:
    """Does one thing after another, in the order in which they came.

    A signal's handler may call it in the middle of a call: lock and queue allow that.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._late: _Outcome | None = None
        self._queue: queue.SimpleQueue[tuple[Callable[[], Any], _Outcome]] = queue.SimpleQueue()

    def do(self, work: Callable[[], Any], wait_s: float = 0.0) -> Any:  # noqa: ANN401 - the work's
        """Have something done, and wait for it at most so long; return what it returned.

        None where it is not done by then: it is done later. What it raises is dropped: the work
        itself notes what went wrong.
        """
        outcome = _Outcome()
        if self._queue.qsize() > MOST_WAITING:
            return None
        try:
            self._start()
            self._queue.put((work, outcome))
        except RuntimeError:
            # no thread can be started: then it is done here
            outcome.take(work)
        if self._late is not None and not self._late.done.is_set():
            wait_s = min(wait_s, STUCK_WAIT_S)
        if wait_s and not outcome.done.wait(wait_s):
            self._late = outcome
        return outcome.value

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, daemon=True, name="disk")
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        while True:
            work, outcome = self._queue.get()
            outcome.take(work)


class _Outcome:
    """What became of a piece of work."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.value: Any = None

    def take(self, work: Callable[[], Any]) -> None:
        try:
            self.value = work()
        except Exception:  # noqa: BLE001 - said where it is done; the next must go on
            self.value = None
        finally:
            self.done.set()
