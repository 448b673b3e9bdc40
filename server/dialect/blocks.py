"""Finds blocks in a model's text as it arrives: thinking, fenced code, and marked tool calls.

Line by line, after CommonMark's fenced code blocks with three changes: the block ends with the
closing fence's third backtick, since a model that waits for a result writes nothing after it; code
on the fence's own line counts (`fence`); and a tool call ends a block of anything but Python.
"""

from dataclasses import dataclass
from enum import Enum

from server.dialect.fence import Opening, read_opening


@dataclass(frozen=True, slots=True)
class Marks:
    """Between what a family writes its tool calls and its thinking; each mark ends with `>`."""

    call_open: str = "<tool_call>"
    call_close: str = "</tool_call>"
    think_open: str = "<think>"
    think_close: str = "</think>"

    @property
    def longest(self) -> int:
        """Characters of the longest one."""
        return max(map(len, (self.call_open, self.call_close, self.think_open, self.think_close)))


class BlockKind(Enum):
    """What the text is in."""

    TEXT = "text"
    PYTHON = "python"
    JSON = "json"
    OTHER = "other"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text inside a block of one kind; `closed`: it completes that block's body.

    A mark that opens or closes thinking belongs to what is before it. `mark` is the one that the
    stretch ends with.
    """

    kind: BlockKind
    text: str
    closed: str | None = None
    thinking: bool = False
    mark: str = ""


#: Stands for a line of text that cannot open a block.
NO_OPENING = "-"
_INDENT = " \t"


class Line:
    """The line under way. Each part is looked at once, so that its time is linear in its length."""

    def __init__(self, text: str = "", longest_mark: int = 0) -> None:
        self._parts: list[str] = []
        self._tail = ""
        self._longest_tail = max(longest_mark - 1, 0)
        self._head = ""  # what follows the indent, as far as a mark is long
        self._longest_head = longest_mark
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
        if longest := self._longest_tail:
            self._tail = (self._tail + part[-longest:])[-longest:]
        if missing := self._longest_head - len(self._head):
            self._head += (part if self._head else part.lstrip(_INDENT))[:missing]
        if self._ticks is not None:
            rest = part if self._ticks else part.lstrip(_INDENT)
            self._ticks = None if rest.strip("`") else self._ticks + len(rest)

    def mark_end(self, part: str, mark: str) -> int | None:
        """Return where in the part the first mark ends, which may begin in the line before it."""
        tail = self._tail[1 - len(mark) :]
        found = (tail + part).find(mark)
        return None if found < 0 else found + len(mark) - len(tail)

    def begins_with(self, part: str, mark: str) -> int | None:
        """Return where in the part the mark is complete that line and part begin with, if so."""
        rest = part if self._head else part.lstrip(_INDENT)
        missing = len(mark) - len(self._head)
        begins = missing > 0 and self._head + rest[:missing] == mark
        return len(part) - len(rest) + missing if begins else None

    def fence_end(self, part: str, fence: str) -> int | None:
        """Return where in the part the fence is complete that line and part begin with, if so."""
        if self._ticks is None:
            return None
        rest = part if self._ticks else part.lstrip(_INDENT)
        missing = len(fence) - self._ticks
        found = len(rest) - len(rest.lstrip("`"))
        return len(part) - len(rest) + missing if found >= missing else None


class BlockScanner:
    """Feeds on text, split anywhere; yields spans whose texts join to the text fed.

    `thinking` says whether the text fed last is; blocks are found in thinking too.
    """

    def __init__(self, marks: Marks | None = None, *, thinking: bool = False) -> None:
        self.kind = BlockKind.TEXT
        self.thinking = thinking
        self._marks = marks or Marks()
        self._longest = self._marks.longest
        self._line = self._new_line()
        self._fence = ""
        self._body: list[str] = []
        self._closing = False  # whether the line begins with the fence that closed a block

    def feed(self, text: str) -> list[Span]:
        """Return the spans of this text; state carries over to the next."""
        spans: list[Span] = []
        start = 0
        while start < len(text):
            part = text[start : text.find("\n", start) + 1 or len(text)]
            end, mark = self._next_mark(part)
            part = part[:end]
            self._line.add(part)
            spans.append(self._ended(part, mark) if end else self._went_on(part))
            start += len(part)
        return spans

    def reset(self, *, thinking: bool = False) -> None:
        """Start afresh at the beginning of a line, in plain text or in thinking."""
        self.thinking = thinking
        self._switch(BlockKind.TEXT, "")

    @property
    def at_line_start(self) -> bool:
        """Whether the text ends with a newline."""
        return not self._line

    @property
    def body(self) -> str:
        """What there is of the body of the block under way."""
        return "".join([*self._body, str(self._line)])

    def _next_mark(self, part: str) -> tuple[int | None, str]:
        """Return where in the part the mark is complete that ends the present state, and it."""
        if self.kind in (BlockKind.TEXT, BlockKind.CALL):
            # Every mark ends with this character: most parts need no further look.
            return self._first_mark(part) if ">" in part else (None, "")
        end = self._line.fence_end(part, self._fence)
        if end is None and self.kind is not BlockKind.PYTHON:
            # Models show calls as other code: at the beginning of a line it is one.
            call = self._marks.call_open
            return self._line.begins_with(part, call), call
        return end, self._fence

    def _first_mark(self, part: str) -> tuple[int | None, str]:
        marks = self._marks
        possible: tuple[str, ...] = (marks.call_close,)
        if self.kind is BlockKind.TEXT:
            possible = (marks.call_open, marks.think_open, marks.think_close)
        found = [(end, mark) for mark in possible if (end := self._line.mark_end(part, mark))]
        return min(found, default=(None, ""))

    def _ended(self, part: str, mark: str) -> Span:
        """Leave the present state, whose mark ends the part."""
        kind, thinking = self.kind, self.thinking
        if mark == self._marks.call_open:
            self._switch(BlockKind.CALL, "")
            return Span(kind, part, thinking=thinking, mark=mark)
        if kind is BlockKind.TEXT:
            self.thinking = mark == self._marks.think_open
            self._switch(BlockKind.TEXT, "")
            return Span(kind, part, thinking=thinking, mark=mark)
        if kind is BlockKind.CALL:
            self._body.append(str(self._line).removesuffix(mark))
        body = "".join(self._body)
        # With Python's tag a fence ends a block that the model forgot to close, and opens another.
        may_open = kind in (BlockKind.OTHER, BlockKind.JSON)
        self._switch(BlockKind.TEXT, "")
        self._line.add(mark if may_open else NO_OPENING)
        self._closing = may_open
        return Span(kind, part, closed=body, thinking=thinking)

    def _went_on(self, part: str) -> Span:
        """Stay in the present state, unless a line that opens a block is complete."""
        kind = self.kind
        span = Span(kind, part, thinking=self.thinking)
        if not part.endswith("\n"):
            return span
        line, self._line = str(self._line), self._new_line()
        if kind is not BlockKind.TEXT:
            self._body.append(line)
        elif (opening := read_opening(line)) and (
            not self._closing or (opening.is_python and len(line.split()) == 1)
        ):
            self._switch(_kind_of(opening), opening.fence)
            self._body.extend(filter(None, [opening.code]))
        self._closing = False
        return span

    def _switch(self, kind: BlockKind, fence: str) -> None:
        self.kind, self._line, self._fence = kind, self._new_line(), fence
        self._closing = False
        self._body.clear()

    def _new_line(self) -> Line:
        return Line(longest_mark=self._longest)


def _kind_of(opening: Opening) -> BlockKind:
    if opening.is_python:
        return BlockKind.PYTHON
    return BlockKind.JSON if opening.tag == "json" else BlockKind.OTHER


def unfenced(text: str) -> str:
    """Return what stands in a fenced block that a text begins with; else the text as it is.

    Models put fences around the code of tool calls too, and no Python begins with one.
    """
    first, _, rest = text.strip().partition("\n")
    opening = read_opening(first)
    if opening is None:
        return text
    rest = f"{opening.code}{rest}"
    body = rest.removesuffix(opening.fence)
    return rest if body == rest else body.rstrip(_INDENT).removesuffix("\n")
