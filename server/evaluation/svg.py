"""Pictures as inline SVG: nothing to install, nothing to load, legible in light and dark."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite

from voting.replay.statistics import Estimate

#: From a value to its place along an axis.
Scale = Callable[[float], float]

WIDTH = 720
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 14, 40
ROW = 24
LABEL = 250
#: Longer names are cut: a picture has a width.
MOST_CHARACTERS = 38


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG element and what it shows."""

    svg: str
    caption: str


@dataclass(frozen=True, slots=True)
class Line:
    """Points (x, estimate) joined by a line under a name."""

    name: str
    points: Sequence[tuple[float, Estimate]]


def forest(rows: Sequence[tuple[str, Estimate]], caption: str) -> Picture:
    """Return estimates with their intervals, one a row, on a common scale from the least."""
    known = [(name, one) for name, one in rows if isfinite(one.mean)]
    low = min((one.low for _, one in known), default=0.0)
    high = max((one.high for _, one in known), default=1.0)
    pad = max(0.02, (high - low) * 0.05)
    low, high = max(0.0, low - pad) if low >= 0 else low - pad, high + pad
    height = TOP + ROW * len(known) + BOTTOM

    def x(value: float) -> float:
        return LABEL + (value - low) / (high - low) * (WIDTH - LABEL - RIGHT)

    parts = _vertical_grid(low, high, x, TOP, height - BOTTOM)
    for number, (name, one) in enumerate(known):
        y = TOP + ROW * (number + 0.5)
        parts.append(_text(LABEL - 10, y + 4, _short(name), "end"))
        parts.append(_stroke(x(one.low), y, x(one.high), y, "bar"))
        parts.append(f'<circle cx="{x(one.mean):.1f}" cy="{y:.1f}" r="4" class="dot0"/>')
    return Picture(_svg(parts, height, caption), caption)


def lines(series: Sequence[Line], caption: str, x_name: str, *, diagonal: bool = False) -> Picture:
    """Return lines over rising x, with bars for intervals; y is from 0 to 1."""
    height = 320
    xs = [point[0] for line in series for point in line.points]
    left, right = (min(xs), max(xs)) if xs else (0.0, 1.0)
    if diagonal:
        left, right = 0.0, 1.0
    span = right - left or 1.0

    def x(value: float) -> float:
        return LEFT + (value - left) / span * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (1 - value) * (height - TOP - BOTTOM)

    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(_stroke(LEFT, y(tick), WIDTH - RIGHT, y(tick), "grid"))
        parts.append(_text(LEFT - 8, y(tick) + 4, f"{tick:g}", "end"))
    marks = [0.0, 0.25, 0.5, 0.75, 1.0] if diagonal else sorted(set(xs))
    parts += [_text(x(value), height - BOTTOM + 18, f"{value:g}", "middle") for value in marks]
    parts.append(_text((LEFT + WIDTH) / 2, height - 6, x_name, "middle"))
    if diagonal:
        parts.append(_stroke(x(0), y(0), x(1), y(1), "grid"))
    for number, line in enumerate(series):
        parts += _line(line, number % 4, x, y)
        parts.append(
            f'<text x="{LEFT + 12}" y="{TOP + 16 + 18 * number}" class="name{number % 4}">'
            f"{escape(_short(line.name))}</text>"
        )
    return Picture(_svg(parts, height, caption), caption)


def _line(line: Line, color: int, x: Scale, y: Scale) -> list[str]:
    points = [(place, one) for place, one in line.points if isfinite(one.mean)]
    path = " ".join(f"{x(place):.1f},{y(one.mean):.1f}" for place, one in points)
    parts = [f'<polyline points="{path}" class="line{color}"/>']
    for place, one in points:
        parts.append(_stroke(x(place), y(one.low), x(place), y(one.high), f"line{color}"))
        parts.append(
            f'<circle cx="{x(place):.1f}" cy="{y(one.mean):.1f}" r="3.5" class="dot{color}"/>'
        )
    return parts


def _vertical_grid(low: float, high: float, x: Scale, top: float, bottom: float) -> list[str]:
    step = next(s for s in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 50.0) if (high - low) / s <= 8)
    first = int(low / step) if low >= 0 else int(low / step) - 1
    ticks = [step * n for n in range(first, first + 12) if low <= step * n <= high]
    parts = []
    for tick in ticks:
        parts.append(_stroke(x(tick), top, x(tick), bottom, "grid"))
        parts.append(_text(x(tick), bottom + 18, f"{tick:g}"[:6], "middle"))
    return parts


def _stroke(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _short(name: str) -> str:
    return name if len(name) <= MOST_CHARACTERS else f"{name[: MOST_CHARACTERS - 1]}…"


def _svg(parts: Sequence[str], height: float, caption: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(caption)}">'
        + "".join(parts)
        + "</svg>"
    )
