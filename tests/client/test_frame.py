"""The screen: it fills every size exactly, shows what matters and nothing that acts."""

import io
import time
import unicodedata

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment

from client.frame import MIN_PANEL_HEIGHT, MIN_PANEL_WIDTH, frame, grid_of
from client.lanes import _folded
from client.schema import AttemptEnd, AttemptFinished, AttemptWaiting, SolveRequest
from client.view import SolveView
from tests.client.recordings import solve_events
from tests.client.test_view import text, view_after

SIZES = [(80, 24), (160, 50), (120, 36), (200, 60), (60, 20), (40, 12), (20, 8), (8, 3)]
EVENTS = solve_events(SolveRequest(problem="What is the sum? " * 20))


def console_of(width: int, height: int, *, color: bool = False) -> Console:
    return Console(
        file=io.StringIO(),
        width=width,
        height=height,
        force_terminal=True,
        color_system="standard" if color else None,
        legacy_windows=False,
    )


def screen(view: SolveView, width: int, height: int, at: float = 9.0) -> list[str]:
    console = console_of(width, height)
    segments = console.render(frame(view, width, height, at), console.options)
    lines = list(Segment.split_lines(segments))
    return ["".join(segment.text for segment in line) for line in lines]


def view_of(attempts: int, share: float = 0.8) -> SolveView:
    events = solve_events(SolveRequest(problem="What is the sum? " * 20, attempts=attempts))
    return view_after(events[: round(len(events) * share)])


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("attempts", [1, 3, 4, 8, 16, 64])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.95, 1.0])
def test_every_size_is_filled_exactly(size: tuple[int, int], attempts: int, share: float) -> None:
    width, height = size
    lines = screen(view_of(attempts, share), width, height)
    assert all(cell_len(line) <= width for line in lines)
    assert len(lines) == height


def test_four_lanes_in_a_small_terminal() -> None:
    shown = screen(view_of(4), 80, 24)
    assert len(shown) == 24
    assert sum(" · writing code " in line for line in shown) == 2
    assert any("turn 1 · 3" in line for line in shown)
    assert any("def squares" in line for line in shown)
    assert "231 s left" in shown[2]
    assert "stops at 3 equal" in shown[21]


def test_sixteen_lanes_are_panels_or_lines() -> None:
    wide = screen(view_of(16), 160, 50)
    assert sum(line.count("╭") for line in wide) == 16
    small = screen(view_of(16), 80, 24)
    assert sum("writing code" in line for line in small) == 16
    assert not any("╭" in line for line in small)


def test_more_lanes_than_rows_shows_those_that_run() -> None:
    view = view_of(64)
    for attempt in range(40):
        view.lanes[attempt].report = None
        view.lanes[attempt].state = view.lanes[attempt].state.FINISHED
    shown = "\n".join(screen(view, 80, 24))
    assert "more attempts" in shown
    assert " 40 " in shown
    assert "\n  0 " not in shown


def test_answers_and_ballot_show() -> None:
    shown = "\n".join(screen(view_after(EVENTS[:-1]), 80, 24))
    assert shown.count("= 42") == 3
    assert "= 41" in shown
    assert "3 votes · 3.30" in shown
    assert "1 vote · 1.10" in shown


def test_before_the_start_the_queue_shows() -> None:
    view = SolveView(position=3)
    assert "queued: 3 ahead" in screen(view, 80, 24)[0]


HOSTILE = "\x1b[2J\x1b]0;pwned\x07[bold red]not markup[/] \u202eabc\x9b31m\x08\r\nnext"


def hostile_view() -> SolveView:
    view = view_of(4)
    for lane in view.lanes.values():
        lane.text = lane.code = lane.output = HOSTILE
    view.apply(AttemptWaiting(solve_id="s", at=9.0, attempt=1, reason=HOSTILE, kept_tokens=1))
    finished = next(event for event in EVENTS if isinstance(event, AttemptFinished))
    report = finished.report.model_copy(update={"answer": HOSTILE, "attempt": 2})
    view.apply(finished.model_copy(update={"report": report, "attempt": 2}))
    assert view.started is not None
    changes = {"problem": HOSTILE, "model": HOSTILE, "strategy": HOSTILE, "dialect": HOSTILE}
    view.started = view.started.model_copy(update=changes)
    view.decision = HOSTILE
    view.ballot = [solve_lines.model_copy(update={"answer": HOSTILE}) for solve_lines in
                   view_after(EVENTS).ballot]  # fmt: skip
    return view


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_what_the_model_wrote_never_acts(size: tuple[int, int]) -> None:
    shown = "".join(screen(hostile_view(), *size))
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs")]


def test_markup_in_text_is_shown_as_it_is() -> None:
    assert "[bold red]not markup[/]" in "\n".join(screen(hostile_view(), 160, 50))


def test_failed_attempts_say_why() -> None:
    view = view_of(4)
    finished = next(event for event in EVENTS if isinstance(event, AttemptFinished))
    report = finished.report.model_copy(
        update={"answer": None, "end": AttemptEnd.ENGINE_LOST, "detail": "it died twice"}
    )
    view.apply(finished.model_copy(update={"report": report}))
    shown = "\n".join(screen(view, 80, 24))
    assert "engine lost" in shown
    assert "it died twice" in shown


@pytest.mark.parametrize("lanes", range(1, 17))
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_grids_hold_all_lanes(lanes: int, size: tuple[int, int]) -> None:
    width, height = size
    grid = grid_of(lanes, width, height)
    if grid is None:
        return
    rows = -(-lanes // grid.columns)
    assert rows * grid.panel_height <= height
    assert grid.columns * grid.panel_width <= width
    assert grid.panel_width >= MIN_PANEL_WIDTH
    assert grid.panel_height >= MIN_PANEL_HEIGHT


def test_a_grid_is_used_where_it_fits() -> None:
    assert grid_of(4, 80, 18) is not None
    assert grid_of(16, 160, 42) is not None
    assert grid_of(16, 80, 18) is None


@pytest.mark.parametrize(
    ("line", "width", "parts"),
    [
        ("one two three", 7, ["one two", "three"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("a bcdefgh", 4, ["a", "bcde", "fgh"]),
        ("漢字漢", 4, ["漢字", "漢"]),
        ("", 4, [""]),
        ("漢", 1, ["漢"]),
    ],
)
def test_folding(line: str, width: int, parts: list[str]) -> None:
    assert _folded(line, width) == parts


def test_drawing_is_quick_enough_for_eight_frames_a_second() -> None:
    view = view_of(16)
    console = console_of(160, 50, color=True)
    console.print(frame(view, 160, 50, 9.0))
    before = time.process_time()
    for step in range(8):
        view.apply(text(9.0 + step, 1_000 + step, text="and so on "))
        console.print(frame(view, 160, 50, 9.0 + step))
    assert time.process_time() - before < 0.5, "half of a core for the display alone"
