"""Finds stop strings in text that comes in pieces."""

from collections.abc import Sequence


class StopFinder:
    """Passes text on until a stop string comes; what may be the beginning of one is held back.

    `hit` is the stop that was found. Of several that end at the same place the one that begins
    first is meant.
    """

    def __init__(self, stops: Sequence[str], *, include: bool = False) -> None:
        self._stops = [stop for stop in stops if stop]
        self._longest = max(map(len, self._stops), default=0)
        self._include = include
        self._held = ""
        self.hit: str | None = None

    def feed(self, text: str) -> str:
        """Take more text; return what is certain to be before a stop."""
        if self.hit is not None:
            return ""
        text = self._held + text
        found = [(place, stop) for stop in self._stops if (place := text.find(stop)) >= 0]
        if found:
            place, self.hit = min(found)
            self._held = ""
            return text[: place + len(self.hit) if self._include else place]
        keep = self._open(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """Return what was held back: no more text comes."""
        held, self._held = self._held, ""
        return "" if self.hit is not None else held

    def _open(self, text: str) -> int:
        """Return the length of the longest end of the text that a stop may begin with."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            end = text[-length:]
            if any(stop.startswith(end) for stop in self._stops):
                return length
        return 0
