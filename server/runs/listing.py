"""Runs in a list: those at hand and those of the journal, page by page, the newest first."""

import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from client.schema import Run as WireRun

Place = tuple[float, str]
"""Where a run is in the list: when it was created, in seconds since 1970, and its id."""
Placed = tuple[Place, WireRun]


@dataclass(frozen=True, slots=True)
class RunPage:
    """Some runs, without their problems; `next` is the last one's place where there are more."""

    runs: list[WireRun]
    next: Place | None = None


@dataclass(frozen=True, slots=True)
class StoredPage:
    """The runs of the journal that are not at hand; `last` is how far was read, None: to the end.

    What was read and is damaged is not among them.
    """

    runs: list[Placed]
    last: Place | None = None


def merged(known: Iterable[Placed], stored: StoredPage, limit: int) -> RunPage:
    """Return a page of at most `limit` runs."""
    ordered = sorted([*known, *stored.runs], key=lambda each: each[0], reverse=True)
    if stored.last is not None:
        # Between those beyond it there may be others that were not read.
        ordered = [each for each in ordered if each[0] >= stored.last]
    page = ordered[:limit]
    last = page[-1][0] if len(ordered) > limit else stored.last
    return RunPage([run for _, run in page], last)


def written(place: Place) -> str:
    """Return a place as an address has it."""
    created, run_id = place
    return f"{created!r}_{run_id}"


def place_of(text: str | None) -> Place | None:
    """Return the place that was written so; None where it is none."""
    created, _, run_id = (text or "").partition("_")
    with suppress(ValueError):
        # What is no number is in no order.
        if math.isfinite(seconds := float(created)):
            return seconds, run_id
    return None
