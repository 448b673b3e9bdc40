"""Finds blocks in a model's text as it arrives: fenced code, and tool calls as JSON.

Line by line, after CommonMark's fenced code blocks with one change: the block ends with the closing
fence's third backtick, since a model that waits for a result writes nothing after it.
"""

import re
from dataclasses import dataclass
from enum import Enum

#: Three or more backticks and an info string, indented at will (models indent inside lists).
#: Possessive, so that the time is linear in the line.
OPENING = re.compile(r"[ \t]*+(`{3,}+)[ \t]*+([A-Za-z0-9_+.#-]*+)[^`]*+")
PYTHON_TAGS = frozenset({"python", "py", "python3", "sage", "tool_code", "ipython"})
CALL_OPEN = "<tool_call>"
CALL_CLOSE = "</tool_call>"
_LONGEST_TAIL = len(CALL_CLOSE) - 1


class BlockKind(Enum):
    """What the text is in."""

    TEXT = "text"
    PYTHON = "python"
    JSON = "json"
    OTHER = "other"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text inside a block of one kind; `closed`: it completes that block's body."""

    kind: BlockKind
    text: str
    closed: str | None = None


#: Stands for a line of text that cannot open a block.
NO_OPENING = "-"
_INDENT = " \t"


class Line:
    """The line under way. Each part is looked at once, so that its time is linear in its length."""

    def __init__(self, text: str = "") -> None:
        self._parts: list[str] = []
        self._tail = ""
        self._ticks: int | None = 0  # backticks that follow the indent; None: something else does
        if text:
            self.add(text)

    def __bool__(self) -> bool:
        return bool(self._parts)

    def __str__(self) -> str:
        return "".join(self._parts)

    def add(self, part: str) -> None:
        """Make the line longer."""
        self._parts.append(part)
        self._tail = (self._tail + part[-_LONGEST_TAIL:])[-_LONGEST_TAIL:]
        if self._ticks is not None:
            rest = part if self._ticks else part.lstrip(_INDENT)
            self._ticks = None if rest.strip("`") else self._ticks + len(rest)

    def mark_end(self, part: str, mark: str) -> int | None:
        """Return where in the part the first mark ends, which may begin in the line before it."""
        tail = self._tail[1 - len(mark) :]
        found = (tail + part).find(mark)
        return None if found < 0 else found + len(mark) - len(tail)

    def fence_end(self, part: str, fence: str) -> int | None:
        """Return where in the part the fence is complete that line and part begin with, if so."""
        if self._ticks is None:
            return None
        rest = part if self._ticks else part.lstrip(_INDENT)
        missing = len(fence) - self._ticks
        found = len(rest) - len(rest.lstrip("`"))
        return len(part) - len(rest) + missing if found >= missing else None


class BlockScanner:
    """Feeds on text, split anywhere; yields spans whose texts join to the text fed."""

    def __init__(self) -> None:
        self.kind = BlockKind.TEXT
        self._line = Line()
        self._fence = ""
        self._body: list[str] = []

    def feed(self, text: str) -> list[Span]:
        """Return the spans of this text; state carries over to the next."""
        spans: list[Span] = []
        start = 0
        while start < len(text):
            part = text[start : text.find("\n", start) + 1 or len(text)]
            end = self._mark_end(part)
            part = part[:end]
            self._line.add(part)
            spans.append(self._ended(part) if end else self._went_on(part))
            start += len(part)
        return spans

    def reset(self) -> None:
        """Start afresh at the beginning of a line of plain text."""
        self._switch(BlockKind.TEXT, "")

    @property
    def at_line_start(self) -> bool:
        """Whether the text ends with a newline."""
        return not self._line

    def _mark_end(self, part: str) -> int | None:
        """Return where in the part the mark is complete that ends the present state, if it is."""
        if self.kind is BlockKind.TEXT:
            return self._line.mark_end(part, CALL_OPEN)
        if self.kind is BlockKind.CALL:
            return self._line.mark_end(part, CALL_CLOSE)
        return self._line.fence_end(part, self._fence)

    def _ended(self, part: str) -> Span:
        """Leave the present state, whose mark ends the part."""
        kind = self.kind
        if kind is BlockKind.TEXT:
            self._switch(BlockKind.CALL, "")
            return Span(kind, part)
        if kind is BlockKind.CALL:
            self._body.append(str(self._line).removesuffix(CALL_CLOSE))
        body = "".join(self._body)
        self._switch(BlockKind.TEXT, "")
        self._line.add(NO_OPENING)
        return Span(kind, part, closed=body)

    def _went_on(self, part: str) -> Span:
        """Stay in the present state, unless a line that opens a block is complete."""
        kind = self.kind
        if not part.endswith("\n"):
            return Span(kind, part)
        line, self._line = str(self._line), Line()
        if kind is not BlockKind.TEXT:
            self._body.append(line)
        elif opening := OPENING.fullmatch(line.rstrip("\r\n")):
            self._switch(_fenced_kind(opening[2]), opening[1])
        return Span(kind, part)

    def _switch(self, kind: BlockKind, fence: str) -> None:
        self.kind, self._line, self._fence = kind, Line(), fence
        self._body.clear()


def _fenced_kind(tag: str) -> BlockKind:
    tag = tag.lower()
    if tag in PYTHON_TAGS:
        return BlockKind.PYTHON
    return BlockKind.JSON if tag == "json" else BlockKind.OTHER
