"""Stop strings in text that comes in pieces of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.completions.stops import StopFinder

letters = st.text(alphabet="abc", max_size=20)
stops = st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=3)


def fed(finder: StopFinder, pieces: list[str]) -> str:
    return "".join([*map(finder.feed, pieces), finder.flush()])


@given(letters, stops, st.lists(st.integers(1, 5), min_size=20, max_size=20), st.booleans())
def test_the_text_before_the_first_stop(
    text: str, stops: list[str], sizes: list[int], include: bool
) -> None:
    """However it is cut in pieces, what comes out is what one reading of the whole would give."""
    pieces, rest = [], text
    for size in sizes:
        pieces.append(rest[:size])
        rest = rest[size:]
    finder = StopFinder(stops, include=include)
    found = fed(finder, [*pieces, rest])
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    if not ends:
        assert (found, finder.hit) == (text, None)
        return
    assert finder.hit in stops
    assert text.startswith(found)
    before = found.removesuffix(finder.hit or "") if include else found
    assert not any(stop in before for stop in stops)
    assert text[len(before) :].startswith(finder.hit or "?")


@pytest.mark.parametrize("stop", ["", None])
def test_no_stop_holds_nothing_back(stop: str | None) -> None:
    finder = StopFinder([] if stop is None else [stop])
    assert finder.feed("abc") == "abc"
