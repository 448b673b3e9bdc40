"""One attempt on the screen: as a panel, or as a single line where panels do not fit."""

from functools import lru_cache

from rich.cells import cell_len
from rich.panel import Panel
from rich.style import Style
from rich.syntax import Syntax
from rich.text import Text

from client.escape import one_line, printable
from client.schema import AttemptEnd
from client.view import Lane, LaneState

#: Rows and columns that a panel's border takes.
BORDER = 2

#: Columns for "turn 12 · 12,345 tok · 123/s", so that lines stand in columns.
_NUMBERS_WIDTH = 30

_STATE_STYLES = {
    LaneState.PENDING: "dim",
    LaneState.STARTED: "cyan",
    LaneState.THINKING: "cyan",
    LaneState.CODING: "magenta",
    LaneState.RUNNING: "yellow",
    LaneState.ANSWERING: "green",
    LaneState.WAITING: "red",
}

#: Ends that are nobody's fault: the attempt was no longer needed.
_QUIET_ENDS = frozenset({AttemptEnd.EARLY_STOP, AttemptEnd.CANCELLED})

_OK_STATUSES = frozenset({"", "ok"})


def lane_style(lane: Lane) -> str:
    """Return the style of a lane's border and state."""
    if lane.state is not LaneState.FINISHED:
        return _STATE_STYLES[lane.state]
    if lane.answer is not None:
        return "green"
    return "dim" if lane.end in _QUIET_ENDS else "red"


def lane_state(lane: Lane) -> str:
    """Return what the attempt is doing, or how it ended, in one or two words."""
    if lane.end is None:
        return lane.state.value
    return lane.end.value.replace("_", " ")


def lane_panel(lane: Lane, width: int, height: int, at: float) -> Panel:
    """Return the lane as a panel of `width` by `height` cells at `at` seconds into the solve."""
    inner, rows = width - BORDER, height - BORDER
    style = lane_style(lane)
    lines = [_numbers(lane, at)]
    if lane.answer is not None:
        lines.append(Text(f"= {one_line(lane.answer)}", style="bold green"))
    elif lane.detail:
        lines.append(Text(one_line(lane.detail), style="italic"))
    lines += _activity(lane, inner, rows - len(lines))
    body = Text("\n", overflow="ellipsis", no_wrap=True).join(
        _fitted(line, inner) for line in lines[:rows]
    )
    return Panel(
        body,
        title=Text(f" {lane.name} · {lane_state(lane)} ", style=style),
        title_align="left",
        border_style=style,
        padding=0,
        width=width,
        height=height,
    )


def lane_line(lane: Lane, width: int, at: float) -> Text:
    """Return the lane as one line of `width` cells."""
    line = Text(f"{lane.name:>3} ", style="bold")
    line.append(f"{lane_state(lane):<13}", style=lane_style(lane))
    numbers = _numbers(lane, at)
    numbers.truncate(_NUMBERS_WIDTH, overflow="ellipsis", pad=True)
    line.append_text(numbers).append(" ")
    if lane.answer is not None:
        line.append(f"= {one_line(lane.answer)}", style="bold green")
    else:
        line.append_text(_latest(lane, width - line.cell_len))
    return _fitted(line, width)


def _numbers(lane: Lane, at: float) -> Text:
    line = Text(style="bright_black")
    line.append(f"turn {lane.turn} · {lane.sampled:,} tok")
    speed = lane.tokens_per_s(at)
    if speed >= 0.5:
        line.append(f" · {speed:,.0f}/s")
    return line


def _latest(lane: Lane, width: int) -> Text:
    """Return the last row of what the attempt does."""
    if lane.detail:
        return Text(one_line(lane.detail), style="italic")
    if lane.state in (LaneState.CODING, LaneState.RUNNING):
        rows = _tail(lane.code, width, 1, "magenta")
    elif lane.output and not lane.text:
        rows = _tail(lane.output, width, 1, _output_style(lane))
    else:
        rows = _tail(lane.text, width, 1)
    return rows[0] if rows else Text()


def _activity(lane: Lane, width: int, rows: int) -> list[Text]:
    """Share the rows among code, its output and the text, the latest of them last."""
    if rows < 1:
        return []
    talking = lane.state in (LaneState.THINKING, LaneState.ANSWERING) or not lane.code
    text = _tail(lane.text, width, rows if not lane.code else (rows + 1) // 2) if talking else []
    rows -= len(text)
    output = _tail(lane.output, width, max(1, rows // 3) if rows else 0, _output_style(lane))
    rows -= len(output)
    return [*_code(lane.code, rows), *output, *text]


def _output_style(lane: Lane) -> str:
    return "bright_black" if lane.output_status in _OK_STATUSES else "red"


def _tail(source: str, width: int, rows: int, style: str = "") -> list[Text]:
    """Return the last `rows` rows of text broken at `width` cells."""
    if rows < 1 or not source.strip():
        return []
    wrapped: list[Text] = []
    for line in reversed(printable(source[-rows * width :]).rstrip().split("\n")):
        wrapped[:0] = [Text(part, style=style) for part in _folded(line, width)]
        if len(wrapped) >= rows:
            break
    return wrapped[-rows:]


def _folded(line: str, width: int) -> list[str]:
    """Break a line into parts of at most `width` cells, at spaces where there are any."""
    parts, part = [], ""
    for word in line.split(" "):
        longer = f"{part} {word}" if part else word
        if cell_len(longer) <= width:
            part = longer
            continue
        if part:
            parts.append(part)
        *whole, part = _chopped(word, width)
        parts += whole
    return [*parts, part] if part or not parts else parts


def _chopped(word: str, width: int) -> list[str]:
    """Break a word without spaces into parts of at most `width` cells."""
    if cell_len(word) <= width:
        return [word]
    parts, part, cells = [], "", 0
    for character in word:
        size = cell_len(character)
        if cells + size > width and part:
            parts.append(part)
            part, cells = "", 0
        part += character
        cells += size
    return [*parts, part]


def _code(source: str, rows: int) -> list[Text]:
    if rows < 1 or not source.strip():
        return []
    lines = printable(source).rstrip().split("\n")[-rows:]
    return _highlighted("\n".join(line.rstrip() for line in lines))


@lru_cache(maxsize=256)
def _highlight(code: str) -> tuple[Text, ...]:
    syntax = Syntax(code, "python", theme="ansi_dark", background_color="default")
    return tuple(syntax.highlight(code).split("\n"))


def _highlighted(code: str) -> list[Text]:
    # copies: fitting a line changes it, and the cache keeps the originals
    return [line.copy() for line in _highlight(code)]


def _fitted(line: Text, width: int) -> Text:
    line.truncate(max(width, 0), overflow="ellipsis", pad=False)
    return line


def bar(fraction: float, width: int, style: str) -> Text:
    """Return a bar of `width` cells, filled from the left."""
    filled = round(min(max(fraction, 0.0), 1.0) * width)
    text = Text("━" * filled, style=Style.parse(style))
    return text.append("─" * (width - filled), style="bright_black")
