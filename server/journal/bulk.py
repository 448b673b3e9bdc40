"""What events weigh in memory, and what is left out when they weigh too much."""

from collections.abc import Iterable
from typing import NamedTuple

from client.schema import AttemptCall, AttemptGap, AttemptResult, AttemptSegment, AttemptText, Event
from server.journal.runs import Row

#: Bytes of an event without its texts and tokens: measured at 0.5-1.5 KiB.
EVENT_BYTES = 1_000
#: Bytes of an id or a number in a list: a pointer and its object.
ITEM_BYTES = 36


class Entry(NamedTuple):
    """An event, or a row of a run's, on its way to the file; `recorded` is in seconds since 1970.

    `sequence` counts all entries, from 1.
    """

    event: Event | Row
    recorded: float
    weight: int
    sequence: int


def weigh(event: Event | Row) -> int:
    """Return about how many bytes of memory an entry takes."""
    match event:
        case AttemptSegment():
            arrays = (event.token_ids, event.logprobs, event.confidence)
            return EVENT_BYTES + ITEM_BYTES * sum(len(array) for array in arrays if array)
        case AttemptText():
            return EVENT_BYTES + len(event.text)
        case AttemptCall():
            return EVENT_BYTES + len(event.code)
        case AttemptResult():
            return EVENT_BYTES + len(event.output)
        case _:
            return EVENT_BYTES


def total(entries: Iterable[Entry]) -> int:
    """Return the weight of entries together."""
    return sum(entry.weight for entry in entries)


def without_bulk(entries: Iterable[Entry], excess: int) -> list[Entry]:
    """Leave out the oldest texts and tokens, until `excess` bytes of them are gone.

    In their place is one `attempt.gap` an attempt, which takes up gaps that were there before. It
    has id, time and sequence of the last event that it stands for, so that the order holds.
    """
    kept: list[Entry] = []
    gaps: dict[tuple[str, int], Entry] = {}
    for entry in entries:
        event = entry.event
        if excess <= 0 or not isinstance(event, AttemptText | AttemptSegment | AttemptGap):
            kept.append(entry)
            continue
        key = (event.solve_id, event.attempt)
        excess -= entry.weight
        if key not in gaps:
            excess += EVENT_BYTES
        gaps[key] = _widened(gaps.get(key), entry, event)
    return sorted([*kept, *gaps.values()], key=lambda entry: entry.sequence)


def _widened(
    gap: Entry | None, entry: Entry, event: AttemptText | AttemptSegment | AttemptGap
) -> Entry:
    """Return the gap that stands for one more event."""
    events, tokens = _counts(event)
    if gap is not None and isinstance(gap.event, AttemptGap):
        events += gap.event.events
        tokens += gap.event.tokens
    widened = AttemptGap(
        id=event.id,
        solve_id=event.solve_id,
        at=event.at,
        attempt=event.attempt,
        events=events,
        tokens=tokens,
    )
    return Entry(widened, entry.recorded, EVENT_BYTES, entry.sequence)


def _counts(event: AttemptText | AttemptSegment | AttemptGap) -> tuple[int, int]:
    """Return how many events and tokens an event stands for."""
    match event:
        case AttemptGap():
            return event.events, event.tokens
        case AttemptSegment():
            return 1, len(event.token_ids)
        case _:
            return 1, 0
