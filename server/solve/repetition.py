"""Notices a model that has fallen into a loop.

A loop is the same run of tokens again and again at the end of the list. The test is exact equality
with the list shifted by a period; sampled text that only resembles itself passes. But the counters
of a list go on in a loop: its items are compared without them.
"""

import re
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice

#: Tokens that must repeat: 192 tokens are about twelve lines. Long tables and lists in honest
#: solutions differ in their numbers.
WINDOW = 192
LONGEST_PERIOD = 64
#: How often to look, in sampled tokens.
EVERY = 32
#: Reasoning models also repeat whole paragraphs: so long a run must come so many times.
LONGEST_PARAGRAPH = 1024
COPIES = 3
#: How often to look for that: it takes some tens of microseconds.
EVERY_PARAGRAPH = 8 * EVERY
#: What came last is looked for in so many places before it: a paragraph may hold it more than once.
MOST_PLACES = 16
#: Of a list: items that may come in turn, characters that they must have on average (shorter ones
#: may well be honest: "17. not prime"), and that must repeat, which are about twice `WINDOW`.
MOST_ITEMS = 16
SHORTEST_ITEM = 24
LISTED = 1_500
#: As much of a text as is looked at.
MOST_LISTED = 16_000

_COUNTER = re.compile(
    r"^[ \t]*[*#>-]{0,4} ?(?:Step |Case )?\d{1,6}[.):]", re.MULTILINE | re.IGNORECASE
)


def repeats(ids: Sequence[int]) -> bool:
    """Tell whether the last `WINDOW` ids repeat with a period of at most `LONGEST_PERIOD`."""
    if len(ids) < WINDOW:
        return False
    tail = list(ids[-WINDOW:])
    return any(
        tail[-1] == tail[-1 - period] and tail[period:] == tail[:-period]
        for period in range(1, LONGEST_PERIOD + 1)
    )


def repeats_paragraph(ids: Sequence[int]) -> bool:
    """Tell whether the last ids are `COPIES` times the same, up to `LONGEST_PARAGRAPH` each."""
    if len(ids) < WINDOW:
        return False
    tail = array("I", ids[-COPIES * LONGEST_PARAGRAPH :])
    return any(
        len(tail) >= COPIES * period
        and tail[-COPIES * period : -period] == tail[-(COPIES - 1) * period :]
        for period in islice(_distances(tail), MOST_PLACES)
    )


def _distances(tail: "array[int]") -> Iterator[int]:
    """Yield how far back the last `LONGEST_PERIOD` ids have stood before, the nearest first."""
    data, width = tail.tobytes(), tail.itemsize
    probe = data[-LONGEST_PERIOD * width :]
    place = len(data) - len(probe)
    while (place := data.rfind(probe, 0, place + len(probe) - 1)) >= 0:
        if place % width == 0:
            yield (len(data) - len(probe) - place) // width


def repeats_items(text: str) -> bool:
    """Tell whether the last items of a counted list are `COPIES` times the same, and long."""
    items = [item.strip() for item in _COUNTER.split(text[-MOST_LISTED:])[1:-1]]
    return any(_rounds(items, period) for period in range(1, MOST_ITEMS + 1))


def _rounds(items: Sequence[str], period: int) -> bool:
    once = sum(map(len, items[-period:]))
    if once < SHORTEST_ITEM * period:
        return False
    most = max(COPIES, -(-LISTED // once)) * period
    return len(items) >= most and items[-most:-period] == items[period - most :]
