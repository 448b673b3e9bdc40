"""The live display of a solve in a terminal.

It owns the alternate screen while it is open: what was there before comes back at its end, however
it ends. Whole frames are drawn over the last one, never cleared before, so nothing flickers.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from rich.console import Console
from rich.live import Live

from client.frame import frame
from client.groups import collapsed
from client.schema import Event
from client.view import SolveView

#: Seconds between two frames: eight a second look fluent and cost little over a slow line.
FRAME_S = 0.125


class SolveClock:
    """The solve's own time between its events: `at` of the latest plus what passed since."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._zero: float | None = None

    def note(self, at: float) -> None:
        """Take an event's time. The smallest delay seen tells best when the solve began."""
        zero = self._now() - at
        self._zero = zero if self._zero is None else min(self._zero, zero)

    @property
    def at(self) -> float:
        """Seconds since the solve was created."""
        return 0.0 if self._zero is None else self._now() - self._zero


class LiveDisplay:
    """Shows the events that it is given; open it with `live_display`."""

    def __init__(self, console: Console) -> None:
        self.view = SolveView()
        self._clock = SolveClock()
        self._console = console

    def observe(self, event: Event) -> None:
        """Take the next event; it shows with the next frame."""
        self.view.apply(event)
        self._clock.note(event.at)

    def draw(self, live: Live) -> None:
        """Draw one frame, in the terminal's size of this moment."""
        width, height = self._console.size
        live.update(frame(self.view, width, height, self._clock.at), refresh=True)


@asynccontextmanager
async def live_display(console: Console) -> AsyncIterator[LiveDisplay]:
    """Hold the terminal for the time of a solve."""
    display = LiveDisplay(console)

    async def draw_frames() -> None:
        while True:
            display.draw(live)
            await anyio.sleep(FRAME_S)

    with collapsed(), Live(console=console, screen=True, auto_refresh=False) as live:
        async with anyio.create_task_group() as group:
            group.start_soon(draw_frames)
            yield display
            group.cancel_scope.cancel()
