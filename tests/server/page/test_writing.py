"""Text that comes in parts reads as the whole does, and costs no more than it has to."""

import random

import pytest

from client.schema import AttemptCall, AttemptText, Channel, Event
from server.page.blocks import BlockKind
from server.page.feed import Feed
from server.page.prose import MOST_OPEN, Formulas, pieces, settled
from server.page.writing import Stretch
from tests.server.page.hostile import HOSTILE

TEXTS = [
    "Let $x = 1$ and $y$.\nThen $$\n\\frac{1}{2}\n$$ holds.\nSo \\(a\\) is **not** `b`.\n",
    "It costs $5 and $10, or $x$ dollars.\n\\[\nx\n\\]\nEnd \\boxed{7}",
    "open $$ for\never and $a$ a day\n" * 3,
    "\\[ never closed \\( either\nwith $x$ in\nlines",
    "`\\[` is quoted\nand $a$ stands\n**bold** $b",
    HOSTILE,
]


def joined(told: list[object]) -> list[object]:
    """Return pieces with neighbouring texts made one."""
    found: list[object] = []
    for piece in told:
        if isinstance(piece, str) and found and isinstance(found[-1], str):
            found[-1] += piece
        elif piece != "":
            found.append(piece)
    return found


def whole(text: str) -> list[object]:
    """Return the pieces of a text that comes at once."""
    told = Stretch(BlockKind.THINKING, turn=1).take(text)
    return joined([*told["settled"], *told["open"]])


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("seed", range(8))
def test_parts_read_as_the_whole(text: str, seed: int) -> None:
    source = random.Random(seed)
    feed = Feed()
    kept: list[object] = []
    last: list[object] = []
    position = 0
    while position < len(text):
        step = source.randint(1, 12)
        part, position = text[position : position + step], position + step
        told = feed.message(_text(part))
        assert told is not None
        assert told["whole"] == (not kept and not last and position == step)
        kept += told["settled"]
        last = told["open"]
    assert joined([*kept, *last]) == whole(text)


def test_beginning_that_is_settled_reads_the_same_alone() -> None:
    for text in TEXTS:
        for end in range(len(text)):
            cut = settled(text[:end])
            parts = [*pieces(text[:cut], Formulas()), *pieces(text[cut:], Formulas())]
            first = [piece for piece in pieces(text, Formulas()) if piece.math]
            assert [piece.text for piece in parts if piece.math] == [p.text for p in first]


@pytest.mark.parametrize("opening", ["$$", "\\[", "\\(", "x", "$", "\n\\["])
def test_what_stays_open_is_bounded(opening: str) -> None:
    text = opening * (100_000 // len(opening))
    feed = Feed()
    for start in range(0, len(text), 5_000):
        told = feed.message(_text(text[start : start + 5_000]))
        assert told is not None
        assert sum(len(str(piece)) for piece in told["open"]) <= MOST_OPEN


def test_call_begins_a_new_stretch_and_a_new_reader_gets_it_whole() -> None:
    before: list[Event] = [_text("Let $z"), _call(), _text("So $y")]
    told = Feed(before).message(_text("$ it is"))
    assert told is not None
    assert told["whole"]
    assert told["open"][0] == "So "
    assert told["open"][1][0] == "math"
    assert "z" not in str(told["open"])


def _text(text: str) -> AttemptText:
    return AttemptText(
        solve_id="s", at=0, attempt=0, turn=1, channel=Channel.THINKING, text=text, sampled=1
    )


def _call() -> AttemptCall:
    return AttemptCall(solve_id="s", at=0, attempt=0, turn=1, call=0, code="1")
