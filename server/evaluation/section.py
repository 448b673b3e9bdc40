"""A section of a report, and how its figures are written."""

import math
from dataclasses import dataclass, field
from typing import Any

from server.evaluation.svg import Picture
from server.replay.tables import TextTable
from voting.replay.statistics import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading, tables, pictures, a sentence on how to read them, and the figures as JSON values.

    ``links`` leads from a cell's text to an address, ``marked`` from a row's first cell to the
    addresses of the marks that its second one is made of.
    """

    name: str
    title: str
    tables: tuple[TextTable, ...]
    pictures: tuple[Picture, ...] = ()
    text: str = ""
    data: Any = None
    links: dict[str, str] = field(default_factory=dict)
    marked: dict[str, list[str]] = field(default_factory=dict)


def interval(one: Estimate | None) -> list[float] | None:
    """Return an estimate as JSON."""
    return None if one is None else [one.mean, one.low, one.high]


def share(one: Estimate) -> str:
    """Return a share in per cent with its interval."""
    return f"{100 * one.mean:.1f} % ({100 * one.low:.1f} to {100 * one.high:.1f})"


def difference(one: Estimate) -> str:
    """Return a difference in points with its interval."""
    return f"{100 * one.mean:+.1f} ({100 * one.low:+.1f} to {100 * one.high:+.1f})"


def number(value: float, digits: int) -> str:
    """Return a figure; a dash for what is none."""
    return f"{value:,.{digits}f}" if math.isfinite(value) else "-"


def finite(value: float) -> float | None:
    """Return a figure as JSON knows it."""
    return value if math.isfinite(value) else None
