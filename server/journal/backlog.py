"""Events between the solve loop, which never waits, and the writer, which may have to."""

import threading
import time
from collections import deque

from client.schema import Event, SolveFinished
from server.journal.bulk import Entry, total, weigh, without_bulk
from server.journal.runs import AnswerRow, Row, RunRow

#: A full backlog is cut to this share of its bound, so that it is not cut at every event.
CUT_TO = 0.8


class Backlog:
    """A bounded queue for many writers and one reader; `put` never waits for either.

    What is taken still counts as waiting until `done`. Where the waiting events weigh more than
    `most_bytes`, the oldest texts and tokens are left out, and an `attempt.gap` says how many.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.dropped = 0
        """Events that are not there any more, but for what gaps tell of them."""
        self._changed = threading.Condition()
        self._queue: deque[Entry] = deque()
        self._bytes = 0
        self._taken: list[Entry] = []
        self._put = 0
        self._done = 0
        self._urgent = False
        self._closed_at: float | None = None

    def put(self, event: Event | Row, recorded: float | None = None) -> None:
        """Add an event, or a row of a run's, of a time in seconds since 1970; None: of now."""
        weight = weigh(event)
        recorded = time.time() if recorded is None else recorded
        with self._changed:
            self._put += 1
            self._queue.append(Entry(event, recorded, weight, self._put))
            self._bytes += weight
            if self._bytes > self.most_bytes:
                self._cut()
            if isinstance(event, SolveFinished | RunRow | AnswerRow):
                self._urgent = True
                self._changed.notify_all()
            elif len(self._queue) == 1:
                self._changed.notify_all()

    def take(self, most_bytes: int, linger_s: float, idle_s: float) -> list[Entry] | None:
        """Return the oldest events, `linger_s` after the first came, at once where it is urgent.

        An empty list: nothing came for `idle_s` seconds; None: closed, and all is taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed_at, timeout=idle_s)
            if not self._queue:
                return [] if self._closed_at is None else None
            age = time.time() - self._queue[0].recorded
            # A clock that was set back must not make the wait longer.
            linger_s = min(max(linger_s - age, 0.0), linger_s)
            self._changed.wait_for(lambda: self._urgent or self._closed_at, timeout=linger_s)
            while self._queue and most_bytes > 0:
                entry = self._queue.popleft()
                self._bytes -= entry.weight
                most_bytes -= entry.weight
                self._taken.append(entry)
            self._urgent = bool(self._queue)
            return list(self._taken)

    def done(self) -> None:
        """Say that what was taken is written."""
        with self._changed:
            self._done = max(self._done, self._taken[-1].sequence)
            self._taken.clear()
            self._changed.notify_all()

    def renumber(self, by: int) -> None:
        """Raise the ids of the events that wait; nothing may have been taken yet."""
        if not by:
            return
        with self._changed:
            self._queue = deque(_renumbered(entry, by) for entry in self._queue)

    def pause(self, seconds: float) -> None:
        """Wait before the next try; `close` ends the wait."""
        was_closed = self._closed_at
        with self._changed:
            self._changed.wait_for(lambda: self._closed_at != was_closed, timeout=seconds)

    def close(self) -> None:
        """Say that no event will come any more."""
        with self._changed:
            self._closed_at = time.monotonic()
            self._changed.notify_all()

    @property
    def closed_for_s(self) -> float | None:
        """Seconds since `close`."""
        closed_at = self._closed_at
        return None if closed_at is None else time.monotonic() - closed_at

    def wait_done(self, timeout: float) -> bool:
        """Wait until all that was put before this call is written; False: it is not."""
        with self._changed:
            target = self._put
            self._urgent = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._done >= target, timeout=timeout)

    def waiting(self) -> tuple[int, float]:
        """Return how many events are not written yet, and for how many seconds the oldest."""
        with self._changed:
            count = len(self._taken) + len(self._queue)
            if not count:
                return 0, 0.0
            oldest = self._taken[0] if self._taken else self._queue[0]
            return count, max(time.time() - oldest.recorded, 0.0)

    def _cut(self) -> None:
        """Leave out the oldest texts and tokens; where that is not enough, the oldest events."""
        target = int(CUT_TO * self.most_bytes)
        kept = deque(without_bulk(self._queue, self._bytes - target))
        self._bytes = total(kept)
        while self._bytes > self.most_bytes:
            self._bytes -= kept.popleft().weight
        self.dropped += len(self._queue) - len(kept)
        self._queue = kept


def _renumbered(entry: Entry, by: int) -> Entry:
    event = entry.event
    if isinstance(event, RunRow | AnswerRow):
        return entry
    return entry._replace(event=event.model_copy(update={"id": event.id + by}))
