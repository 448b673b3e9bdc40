"""Events as rows: JSON without what has a column of its own, token arrays as packed bytes."""

import struct
import sys
from array import array
from collections.abc import Sequence
from math import isnan, nan
from typing import Any, NamedTuple, get_args

import numpy as np
import orjson
import structlog
from numpy.typing import NDArray

from client.schema import EVENT_ADAPTER, AttemptEvent, AttemptSegment, AttemptText, Event

log = structlog.get_logger(__name__)

#: Fields that are columns of `events` or `segments`.
IN_COLUMNS = {"id", "solve_id", "attempt", "type", "at", "token_ids", "logprobs", "confidence"}

Float16s = NDArray[np.float16]
Ids = NDArray[np.uint32]


class EventRow(NamedTuple):
    """A row of `events`."""

    id: int
    solve_id: str
    attempt: int | None
    type: str
    at: float
    recorded: float
    body: str


class SegmentRow(NamedTuple):
    """A row of `segments`."""

    event_id: int
    solve_id: str
    attempt: int
    turn: int
    kind: str
    start: int
    ids_count: int
    ids: bytes
    logprobs: bytes | None
    confidence: bytes | None


def event_row(event: Event, recorded: float) -> EventRow:
    """Return the row of an event that was taken at `recorded` (seconds since 1970).

    Raises:
        ValueError: the event holds text that UTF-8 has not.
    """
    return EventRow(
        event.id,
        event.solve_id,
        event.attempt if isinstance(event, AttemptEvent) else None,
        event.type,
        event.at,
        recorded,
        _body(event),
    )


def _body(event: Event) -> str:
    # Nearly all events are these two, and this takes a third of the time.
    match event:
        case AttemptText():
            names: tuple[str, ...] = ("turn", "channel", "text", "sampled")
        case AttemptSegment():
            names = ("turn", "kind", "start")
        case _:
            return event.model_dump_json(exclude=IN_COLUMNS)
    return orjson.dumps({name: getattr(event, name) for name in names}).decode()


def segment_row(event: AttemptSegment) -> SegmentRow:
    """Return the token arrays of a segment.

    Raises:
        OverflowError: an id is negative or above 32 bits.
    """
    return SegmentRow(
        event.id,
        event.solve_id,
        event.attempt,
        event.turn,
        event.kind.value,
        event.start,
        len(event.token_ids),
        pack_ids(event.token_ids),
        None if event.logprobs is None else pack_float16s(event.logprobs),
        None if event.confidence is None else pack_float16s(event.confidence),
    )


def to_event(row: EventRow, segment: SegmentRow | None) -> Event | None:
    """Return the event of a row; None: this program knows no such event.

    Raises:
        ValueError, TypeError: the row is not as this program writes it.
    """
    if row.type not in KNOWN_TYPES:
        return None
    values: dict[str, Any] = orjson.loads(row.body)
    values |= {"id": row.id, "solve_id": row.solve_id, "type": row.type, "at": row.at}
    if row.attempt is not None:
        values["attempt"] = row.attempt
    if segment is not None:
        values["token_ids"] = unpack_ids(segment.ids).tolist()
        values["logprobs"] = _list_or_none(segment.logprobs)
        values["confidence"] = _list_or_none(segment.confidence)
    return EVENT_ADAPTER.validate_python(values)


def sound_event(row: EventRow, segment: SegmentRow | None = None) -> Event | None:
    """Return the event of a row; None also where the disk has made something else of it.

    One such row must not hide the others: the log names it, and `quorum journal check` does.
    """
    try:
        return to_event(row, segment)
    except (ValueError, TypeError) as error:
        log.warning("journal.damaged_event", id=row.id, type=row.type, error=_first_line(error))
        return None


def sound_body(body: str) -> dict[str, Any]:
    """Return what the body of an event says; nothing where it is damaged."""
    try:
        values = orjson.loads(body)
    except ValueError as error:
        log.warning("journal.damaged_event", error=_first_line(error))
        return {}
    return values if isinstance(values, dict) else {}


def _first_line(error: Exception) -> str:
    # What follows quotes the event.
    return str(error).partition("\n")[0][:200]


def text_of(stored: bytes) -> str:
    r"""Return a text of the journal; bytes that damage has made no UTF-8 are written as `\xNN`."""
    return stored.decode("utf-8", "backslashreplace")


def pack_ids(ids: Sequence[int]) -> bytes:
    """Return ids as little-endian uint32.

    Fixed width beats varint and zlib here: an id has 17-18 bits, so that three bytes are the least
    that a simple code reaches, and the text of the same events outweighs what that would save.
    """
    packed = array("I", ids)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack_ids(packed: bytes) -> Ids:
    """Return the ids of `pack_ids`; shape (count,), read-only."""
    return np.frombuffer(packed, dtype="<u4")


def pack_float16s(values: Sequence[float | None]) -> bytes:
    """Return numbers as little-endian float16: three digits, infinite past 65504, NaN for None."""
    numbers = [nan if value is None else value for value in values]
    try:
        # Four times as fast as an array of as few numbers as a segment has.
        return struct.pack(f"<{len(numbers)}e", *numbers)
    except OverflowError:
        with np.errstate(over="ignore"):
            return np.array(numbers, dtype="<f2").tobytes()


def unpack_float16s(packed: bytes) -> Float16s:
    """Return the numbers of `pack_float16s`; shape (count,), read-only."""
    return np.frombuffer(packed, dtype="<f2")


def _list_or_none(packed: bytes | None) -> list[float | None] | None:
    if packed is None:
        return None
    return [None if isnan(number) else number for number in unpack_float16s(packed).tolist()]


#: The events that this program knows.
KNOWN_TYPES = frozenset(
    str(member.model_fields["type"].default) for member in get_args(get_args(Event)[0])
)
