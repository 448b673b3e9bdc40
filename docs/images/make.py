"""Makes the pictures of a solve, from a solve.

    python -m docs.images.make solve.jsonl                  draw them from recorded events
    python -m docs.images.make solve.jsonl --record PROBLEM solve with a running server first

`solve.svg` is the live display at the moment of `--at` seconds, `answer.svg` what stays on the
screen. Both are drawn by the code that draws in a terminal.
"""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, RenderableType
from rich.terminal_theme import TerminalTheme

from client.frame import frame
from client.http import DEFAULT_URL, QuorumClient
from client.schema import EVENT_ADAPTER, Event, SolveFinished, SolveRequest
from client.summary import summary
from client.view import SolveView

HERE = Path(__file__).resolve().parent
#: Cells. At 900 pixels, the width of a page on GitHub, a cell is 8 pixels wide: still readable.
WIDTH, HEIGHT = 112, 30
SUMMARY_WIDTH = 72
#: Pixels around the text.
MARGIN = 9

#: Every colour on the background has a contrast of at least 4.5 (WCAG AA).
THEME = TerminalTheme(
    background=(13, 17, 23),
    foreground=(230, 237, 243),
    normal=[
        (72, 79, 88),
        (255, 123, 114),
        (86, 211, 100),
        (227, 179, 65),
        (121, 192, 255),
        (210, 168, 255),
        (86, 212, 221),
        (201, 209, 217),
    ],
    bright=[
        (139, 148, 158),
        (255, 161, 152),
        (126, 231, 135),
        (242, 204, 96),
        (165, 214, 255),
        (226, 197, 255),
        (179, 240, 255),
        (255, 255, 255),
    ],
)

#: As rich's own, without the font that it would fetch from elsewhere and the window's ornaments.
#: The font size makes the common monospace fonts (0.602 em wide) as wide as rich's cells.
SVG = """\
<svg viewBox="0 0 {width} @HEIGHT@" xmlns="http://www.w3.org/2000/svg" role="img">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "SF Mono", Menlo, Consolas, \
"DejaVu Sans Mono", monospace; font-size: 20.27px; white-space: pre; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">\
<rect x="0" y="0" width="{width}" height="{terminal_height}"/></clipPath>
{lines}</defs>
<rect width="{width}" height="@HEIGHT@" rx="8" fill="#0d1117"/>
<g transform="translate(9, 9)" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix" xml:space="preserve">
{matrix}
</g>
</g>
</svg>
"""


def main(
    recording: Annotated[Path, typer.Argument(help="The solve's events, one a line.")],
    record: Annotated[str | None, typer.Option(help="Solve this problem first.")] = None,
    url: Annotated[str, typer.Option(help="The server for --record.")] = DEFAULT_URL,
    at: Annotated[float | None, typer.Option(help="Seconds into the solve; default: late.")] = None,
) -> None:
    """Draw `solve.svg` and `answer.svg` beside this file."""
    if record is not None:
        _record(recording, record, url)
    events = [EVENT_ADAPTER.validate_json(line) for line in recording.read_bytes().splitlines()]
    finished = events[-1]
    if not isinstance(finished, SolveFinished):
        raise typer.BadParameter(f"{recording}: the solve did not end; record it again")
    moment = 0.9 * finished.at if at is None else at
    _draw("solve", display_at(events, moment), WIDTH)
    _draw("answer", summary(finished.result, SUMMARY_WIDTH, "utf-8"), SUMMARY_WIDTH)


def display_at(events: list[Event], at: float) -> RenderableType:
    """Return the live display as it was `at` seconds into the solve."""
    view = SolveView()
    for event in events:
        if event.at <= at:
            view.apply(event)
    return frame(view, WIDTH, HEIGHT, at)


def svg_of(renderable: RenderableType, width: int, name: str) -> str:
    """Return what a terminal of that many cells would show."""
    with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
        console = Console(
            record=True,
            width=width,
            file=nowhere,
            force_terminal=True,
            color_system="truecolor",
            highlight=False,
            legacy_windows=False,
        )
        console.print(renderable)
    svg = console.export_svg(theme=THEME, code_format=SVG, unique_id=name)
    inner = re.search(r'<clipPath id="[^"]+-clip-terminal"><rect [^>]*height="([\d.]+)"', svg)
    if inner is None:
        raise ValueError("the picture has no terminal; is this rich of another version?")
    svg = svg.replace("@HEIGHT@", f"{float(inner[1]) + 2 * MARGIN:.1f}")
    # other fonts are stretched to the cells, so that lines meet
    svg = svg.replace(" textLength=", ' lengthAdjust="spacingAndGlyphs" textLength=')
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


def _record(recording: Path, problem: str, url: str) -> None:
    with (
        QuorumClient(url) as client,
        recording.open("w", encoding="utf-8") as file,
        client.stream(SolveRequest(problem=problem)) as events,
    ):
        for event in events:
            file.write(event.model_dump_json() + "\n")


def _draw(name: str, renderable: RenderableType, width: int) -> None:
    (HERE / f"{name}.svg").write_text(svg_of(renderable, width, name), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
