"""The whole screen of a solve, as a function of its view, the terminal's size and the time."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from client.escape import one_line
from client.lanes import BORDER, bar, lane_line, lane_panel
from client.schema import BallotLine
from client.view import Lane, LaneState, SolveView

#: Fewest cells of a panel that still shows a line of code and the numbers of an attempt.
MIN_PANEL_WIDTH = 36
MIN_PANEL_HEIGHT = BORDER + 3
#: Rows under which the ballot gives its place to the lanes.
LOW = 9
#: Rows from which the header and the ballot take more of them.
TALL = 32


@dataclass(frozen=True, slots=True)
class Grid:
    """How panels are laid out: columns of equal width, rows of equal height (border included)."""

    columns: int
    panel_width: int
    panel_height: int


def grid_of(lanes: int, width: int, height: int) -> Grid | None:
    """Return the layout that shows the most of each lane; None: panels do not fit."""
    grids = []
    for columns in range(1, max(1, min(lanes, width // MIN_PANEL_WIDTH)) + 1):
        rows = -(-lanes // columns)
        panel_width, panel_height = width // columns, height // max(rows, 1)
        if panel_height >= MIN_PANEL_HEIGHT and panel_width >= MIN_PANEL_WIDTH:
            grids.append(Grid(columns, panel_width, panel_height))
    # of layouts that show about the same area, the one with the wider lines reads better
    return max(grids, key=_shown, default=None)


def _shown(grid: Grid) -> tuple[int, int]:
    useful_width = min(grid.panel_width, 100) - BORDER
    return useful_width * (grid.panel_height - BORDER), grid.panel_width


def frame(view: SolveView, width: int, height: int, at: float) -> RenderableType:
    """Return a screen of exactly `width` by `height` cells at `at` seconds into the solve."""
    header = _header(view, width, 2 if height >= TALL else 1, at)[:height]
    ballot = _ballot(view, width, 5 if height >= TALL else 3) if height >= LOW else []
    room = height - len(header) - len(ballot)
    return Group(*header, *_lanes(view, width, room, at), *ballot)


def _header(view: SolveView, width: int, problem_rows: int, at: float) -> list[Text]:
    started = view.started
    if started is None:
        waiting = "waiting for the server"
        if view.position:
            waiting = f"queued: {view.position} ahead"
        return [_cut(Text(waiting, style="cyan"), width)]
    title = Text.assemble(
        ("Quorum ", "bold"),
        (one_line(f"{started.model} · {started.strategy} · {started.dialect}"), "bright_black"),
    )
    problem = Text(one_line(started.problem))
    rows = _problem_rows(problem, width, problem_rows)
    return [_cut(title, width), *rows, _clock(view, started.time_limit_s, width, at)]


def _problem_rows(problem: Text, width: int, rows: int) -> list[Text]:
    parts = [problem[start : start + width] for start in range(0, len(problem), width)][:rows]
    if parts and len(problem) > width * len(parts):
        parts[-1] = Text.assemble(parts[-1][: width - 1], "…")
    return [_cut(part, width) for part in parts]


def _clock(view: SolveView, limit_s: float, width: int, at: float) -> Text:
    left_s = max(0.0, limit_s - at)
    numbers = f" {left_s:,.0f} s left · {view.sampled:,} tok · {view.tokens_per_s(at):,.0f} tok/s"
    style = "green" if left_s > limit_s / 4 else "yellow" if left_s > limit_s / 10 else "red"
    line = bar(left_s / limit_s, max(0, width - len(numbers)), style)
    return _cut(line.append(numbers, style="bright_black"), width)


def _ballot(view: SolveView, width: int, rows: int) -> list[Text]:
    agree = view.started.agree if view.started else 0
    title = Text("Ballot ", style="bold")
    if view.decision:
        title.append(one_line(view.decision), style="bright_black")
    elif agree:
        title.append(f"no answers yet · stops at {agree} equal", style="bright_black")
    lines = [_cut(title, width), *_ballot_lines(view.ballot, agree, width, rows - 1)]
    # always as many rows: lanes that move when an answer comes are hard to read
    return [*lines, *[Text()] * (rows - len(lines))]


def _ballot_lines(ballot: Sequence[BallotLine], agree: int, width: int, rows: int) -> list[Text]:
    lines = []
    shown = ballot[:rows]
    answer_width = min(max((len(one_line(line.answer)) for line in shown), default=0), width // 3)
    most = max([agree, *(line.votes for line in shown)], default=1)
    for line in shown:
        answer = Text(one_line(line.answer), style="bold green" if line is shown[0] else "")
        answer.truncate(answer_width, overflow="ellipsis", pad=True)
        numbers = f" {line.votes} {'vote' if line.votes == 1 else 'votes'} · {line.weight:.2f}"
        room = max(0, width - answer_width - 1 - len(numbers))
        text = Text.assemble(answer, " ", bar(line.votes / max(most, 1), min(room, 60), "green"))
        lines.append(_cut(text.append(numbers, style="bright_black"), width))
    return lines


def _lanes(view: SolveView, width: int, height: int, at: float) -> list[RenderableType]:
    lanes = [view.lanes[attempt] for attempt in sorted(view.lanes)]
    grid = grid_of(len(lanes), width, height)
    if grid is None or not lanes:
        lines: list[RenderableType] = list(_lane_lines(lanes, width, height, at))
        return [*lines, *[Text()] * (height - len(lines))]
    table = Table.grid(padding=0)
    for start in range(0, len(lanes), grid.columns):
        row = lanes[start : start + grid.columns]
        table.add_row(*(lane_panel(lane, grid.panel_width, grid.panel_height, at) for lane in row))
    rows = -(-len(lanes) // grid.columns)
    return [table, *[Text()] * (height - rows * grid.panel_height)]


def _lane_lines(lanes: list[Lane], width: int, height: int, at: float) -> list[Text]:
    """One line a lane; when even those are too many, those that still move come first."""
    if len(lanes) > height:
        still = (LaneState.FINISHED, LaneState.PENDING)
        lanes = sorted(lanes, key=lambda lane: (lane.state in still, lane.attempt))
        hidden = len(lanes) - height + 1
        shown = [lane_line(lane, width, at) for lane in lanes[: max(0, height - 1)]]
        more = _cut(Text(f"… and {hidden} more attempts", style="bright_black"), width)
        return [*shown, more][:height]
    return [lane_line(lane, width, at) for lane in lanes]


def _cut(line: Text, width: int) -> Text:
    line.truncate(width, overflow="ellipsis")
    line.no_wrap = True
    return line
