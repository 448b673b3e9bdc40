"""What is appended is what is read, token by token."""

import math
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.schema import AttemptGap, AttemptSegment, AttemptText, Channel, Event, SegmentKind
from server.journal.bulk import Entry, total, weigh, without_bulk
from server.journal.journal import Journal
from server.journal.reader import JournalReader
from server.journal.rows import (
    event_row,
    pack_float16s,
    pack_ids,
    segment_row,
    to_event,
    unpack_float16s,
    unpack_ids,
)
from server.solve.record import TokenRecord
from tests.server.journal.stories import log_probabilities, mask, options, solve_events, token_ids

texts = st.text(st.characters(exclude_categories=["Cs"]))
ids = st.lists(st.integers(0, 2**32 - 1))


@st.composite
def segments(draw: st.DrawFn) -> AttemptSegment:
    chosen = draw(ids)
    numbers = st.lists(
        st.floats(width=16, allow_nan=False), min_size=len(chosen), max_size=len(chosen)
    )
    return AttemptSegment(
        id=draw(st.integers(1, 2**53)),
        solve_id=draw(texts),
        at=draw(st.floats(0, 1e6)),
        attempt=draw(st.integers(0, 255)),
        turn=draw(st.integers(0, 1000)),
        kind=draw(st.sampled_from(SegmentKind)),
        start=draw(st.integers(0, 10**6)),
        token_ids=chosen,
        logprobs=draw(st.none() | numbers),
        confidence=draw(st.none() | numbers),
    )


@st.composite
def spoken(draw: st.DrawFn) -> AttemptText:
    return AttemptText(
        id=draw(st.integers(1, 2**53)),
        solve_id="s",
        at=draw(st.floats(0, 1e6)),
        attempt=0,
        turn=1,
        channel=draw(st.sampled_from(Channel)),
        text=draw(texts),
        sampled=draw(st.integers(0, 10**6)),
    )


@given(segments() | spoken())
def test_rows_give_back_the_event(event: Event) -> None:
    segment = segment_row(event) if isinstance(event, AttemptSegment) else None
    row = event_row(event, recorded=1.0)
    assert "token_ids" not in row.body
    assert to_event(row, segment) == event


@given(ids)
def test_ids_are_little_endian_uint32(values: list[int]) -> None:
    assert pack_ids(values) == b"".join(value.to_bytes(4, "little") for value in values)
    assert unpack_ids(pack_ids(values)).tolist() == values


@given(st.lists(st.floats(-30, 0)))
def test_log_probabilities_keep_three_digits(values: list[float]) -> None:
    packed = pack_float16s(values)
    assert len(packed) == 2 * len(values)
    np.testing.assert_allclose(unpack_float16s(packed), values, rtol=2**-10, atol=2**-24)


def test_numbers_beyond_float16_are_infinite_and_nan_stays() -> None:
    there = unpack_float16s(pack_float16s([-1e9, -math.inf, math.nan])).tolist()
    assert there[:2] == [-math.inf, -math.inf]
    assert math.isnan(there[2])


def entries(events: list[Event]) -> list[Entry]:
    return [Entry(event, 0.0, weigh(event), n) for n, event in enumerate(events, start=1)]


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(segments() | spoken(), max_size=20), st.integers(0, 50_000))
def test_what_is_left_out_is_counted_and_the_order_holds(
    events: list[AttemptSegment | AttemptText], excess: int
) -> None:
    kept = without_bulk(entries(list(events)), excess)
    gaps = [entry.event for entry in kept if isinstance(entry.event, AttemptGap)]
    assert len(events) == len(kept) - len(gaps) + sum(gap.events for gap in gaps)
    assert sum(len(e.token_ids) for e in events if isinstance(e, AttemptSegment)) == sum(
        gap.tokens for gap in gaps
    ) + sum(len(k.event.token_ids) for k in kept if isinstance(k.event, AttemptSegment))
    assert [entry.sequence for entry in kept] == sorted({entry.sequence for entry in kept})
    if excess == 0:
        assert not gaps


def test_gaps_take_up_earlier_gaps() -> None:
    def text(number: int) -> AttemptText:
        return AttemptText(
            id=number, solve_id="s", at=0.0, attempt=0, turn=1, channel=Channel.FINAL,
            text="x" * 5_000, sampled=0,
        )  # fmt: skip

    once = without_bulk(entries([text(1), text(2), text(3)]), 10_000)
    twice = without_bulk(once, total(once))
    assert [entry.event for entry in twice] == [
        AttemptGap(id=3, solve_id="s", at=0.0, attempt=0, events=3, tokens=0)
    ]


async def test_a_journal_gives_back_events_and_tokens(tmp_path: Path) -> None:
    async with Journal(options(tmp_path)) as journal:
        events = list(solve_events("solve-a", journal.next_id))
        for event in events:
            journal.append(event)
        assert await journal.flush()
        with JournalReader(tmp_path / "journal.sqlite") as reader:
            assert list(reader.events()) == events
            assert list(reader.events(after=events[4].id)) == events[5:]
            for attempt in range(2):
                tokens = reader.tokens("solve-a", attempt)
                assert tokens.complete
                assert tokens.ids.tolist() == token_ids(attempt)
                assert tokens.sampled.tolist() == mask()
                expected = np.where(mask(), log_probabilities(attempt), np.nan)
                np.testing.assert_array_equal(tokens.logprobs, expected)


async def test_segments_are_those_of_the_record(tmp_path: Path) -> None:
    record = TokenRecord([1, 2, 3])
    for token in range(100):
        record.sample(token, -1.0)
    record.append([7, 8])
    record.sample(9, -0.5)
    async with Journal(options(tmp_path)) as journal:
        for segment in record.segments:
            # Sent in two pieces each, as while sampling.
            half = len(segment.ids) // 2
            for part in (slice(None, half), slice(half, None)):
                journal.append(
                    AttemptSegment(
                        id=journal.next_id(),
                        solve_id="s",
                        at=0.0,
                        attempt=0,
                        turn=1,
                        kind=segment.kind,
                        start=segment.start + (part.start or 0),
                        token_ids=segment.ids[part],
                        logprobs=segment.logprobs[part] or None,
                    )
                )
    with JournalReader(tmp_path / "journal.sqlite") as reader:
        stored = reader.segments("s", 0)
    assert [(s.kind, s.start, s.ids.tolist()) for s in stored] == [
        (s.kind, s.start, s.ids) for s in record.segments
    ]
    assert [s.logprobs[~np.isnan(s.logprobs)].tolist() for s in stored] == [
        s.logprobs for s in record.segments
    ]
