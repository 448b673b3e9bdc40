"""The events of one solve: kept in order, followed by any number of readers at their own pace."""

import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol

import anyio

from client.schema import AttemptSegment, Event, SolveFinished

Observer = Callable[[Event], None]
"""Told every event as it happens; never waits and never raises."""


class EventSink(Protocol):
    """Takes every event of every solve, as the journal does; never waits and never raises."""

    def next_id(self) -> int:
        """Return an id for the next event, greater than any before."""
        ...

    def append(self, event: Event, recorded: float) -> None:
        """Take an event; `recorded` is its time in seconds since 1970."""
        ...


class EventLog:
    """Append-only; a slow reader delays nobody, and a late one misses nothing.

    A `sink` gets every event, and so does each of the `observers`, at once; followers get token
    segments only where `with_tokens`. `created` is the time of the first event, in seconds since
    1970, where that is known already.
    """

    def __init__(
        self,
        solve_id: str,
        next_id: Callable[[], int],
        sink: EventSink | None = None,
        *,
        with_tokens: bool = True,
        observers: Sequence[Observer] = (),
        age_s: float = 0.0,
        created: float | None = None,
    ) -> None:
        self.solve_id = solve_id
        self.events: list[Event] = []
        self._next_id = next_id
        self._sink = sink
        self._observers = observers
        self._with_tokens = with_tokens
        self._first_recorded = created
        self._created = anyio.current_time() - age_s
        self.suspended = False
        """Whether the sink is told no more: another server goes on with the solve."""
        self._grown = anyio.Event()

    def suspend(self) -> None:
        """Record nothing from now on, so that the solve stays open for the next server."""
        self.suspended = True

    @property
    def recorded(self) -> bool:
        """Whether a sink gets the events: then the tokens are told even if nobody else asks."""
        return self._sink is not None

    @property
    def age_s(self) -> float:
        """Seconds since the creation of the solve."""
        return anyio.current_time() - self._created

    def emit(self, event_type: Callable[..., Event], **values: Any) -> None:  # noqa: ANN401 - its fields
        """Append an event of this kind; `id`, `solve_id` and `at` are filled in."""
        at = round(self.age_s, 4)
        event = event_type(id=self._next_id(), solve_id=self.solve_id, at=at, **values)
        if self._sink is not None and not self.suspended:
            # The solve's time is that of its first event, here and in the record.
            first, self._first_recorded = self._first_recorded, None
            self._sink.append(event, time.time() if first is None else first)
        for observe in self._observers:
            observe(event)
        if isinstance(event, AttemptSegment) and not self._with_tokens:
            return
        self.events.append(event)
        self._grown.set()
        self._grown = anyio.Event()

    @property
    def finished(self) -> SolveFinished | None:
        """The last event of the solve, once it is there."""
        last = self.events[-1] if self.events else None
        return last if isinstance(last, SolveFinished) else None

    async def follow(self, after: int = 0) -> AsyncIterator[Event]:
        """Yield all events with an id above `after`, from the first to the solve's last."""
        position = bisect_right(self.events, after, key=lambda event: event.id)
        while True:
            while position < len(self.events):
                event = self.events[position]
                position += 1
                yield event
            if self.finished:
                return
            await self._grown.wait()
