"""What is known of a solve that runs: also what was told before a dead server left it."""

from bisect import bisect_right
from collections.abc import Sequence

from client.schema import Event, SolveStarted, SolveState
from server.solve.service import SolveHandle

#: Among so many events at its beginning are a solve's request and its start.
FIRST = 3


def told(handle: SolveHandle) -> list[Event]:
    """Return the events of a solve so far; those before its server died have no token segments.

    One that was gone on with has its request and its start from there alone.
    """
    return [*_before(handle), *handle.events.events]


def beginning(handle: SolveHandle) -> list[Event]:
    """Return the events that say how a solve was asked for and began, without reading them all."""
    return [*_before(handle)[:FIRST], *handle.events.events[:FIRST]]


def before(handle: SolveHandle, after: int = 0) -> Sequence[Event]:
    """Return what a dead server told of a solve, with ids above `after`; as in `told`."""
    past = _before(handle)
    return past[bisect_right(past, after, key=lambda event: event.id) :]


def state_of(handle: SolveHandle) -> SolveState:
    """Return where a solve is; one that waits to be gone on with began on a dead server only."""
    if handle.events.finished is not None:
        return SolveState.FINISHED
    begun = any(isinstance(event, SolveStarted) for event in beginning(handle))
    return SolveState.RUNNING if begun and not handle.waits else SolveState.QUEUED


def _before(handle: SolveHandle) -> Sequence[Event]:
    return handle.past.events if handle.past is not None else ()
