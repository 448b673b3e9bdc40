"""The pictures can be made anew, load nothing from elsewhere, and keep every line inside."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.text import Text

from client.schema import SolveRequest
from docs.images.make import HEIGHT, HERE, MARGIN, WIDTH, display_at, svg_of
from tests.client.recordings import solve_events

NAMESPACE = "{http://www.w3.org/2000/svg}"
EVENTS = solve_events(SolveRequest(problem="How many squares are there?"))
DRAWN = svg_of(display_at(EVENTS, EVENTS[-1].at * 0.9), WIDTH, "test")


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 - our own picture


def size(svg: str) -> tuple[float, float]:
    _, _, width, height = map(float, parsed(svg).attrib["viewBox"].split())
    return width, height


def test_display_is_drawn_whole() -> None:
    rows = [float(text.attrib["y"]) for text in parsed(DRAWN).iter(f"{NAMESPACE}text")]
    assert "How&#160;many&#160;squares" in DRAWN
    assert max(rows) < size(DRAWN)[1] - MARGIN
    assert len(set(rows)) <= HEIGHT


def test_longer_text_makes_a_higher_picture() -> None:
    low, high = (size(svg_of(Text("line\n" * lines), 40, "test"))[1] for lines in (3, 9))
    assert high > low


@pytest.mark.parametrize("name", ["solve.svg", "answer.svg"])
def test_picture_in_the_repository(name: str) -> None:
    picture = Path(HERE / name).read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\s\"<]+", picture)) == {"http://www.w3.org/2000/svg"}
    assert len(picture) < 100_000, "a README's picture must load at once"
    assert size(picture)[0] > 0
