"""Finds blocks in a model's text as it arrives: fenced code, and tool calls as JSON.

Line by line, after CommonMark's fenced code blocks with one change: the block ends with the closing
fence's third backtick, since a model that waits for a result writes nothing after it.
"""

import re
from dataclasses import dataclass, field
from enum import Enum

#: Three or more backticks and an info string, indented at will (models indent inside lists).
#: Possessive, so that the time is linear in the line.
OPENING = re.compile(r"[ \t]*+(`{3,}+)[ \t]*+([A-Za-z0-9_+.#-]*+)[^`]*+")
PYTHON_TAGS = frozenset({"python", "py", "python3", "sage", "tool_code", "ipython"})
CALL_OPEN = "<tool_call>"
CALL_CLOSE = "</tool_call>"


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


@dataclass(slots=True)
class BlockScanner:
    """Feeds on text, split anywhere; yields spans whose texts join to the text fed."""

    kind: BlockKind = BlockKind.TEXT
    _line: str = ""
    _fence: str = ""
    _body: list[str] = field(default_factory=list)

    def feed(self, text: str) -> list[Span]:
        """Return the spans of this text; state carries over to the next."""
        spans: list[Span] = []
        while text:
            part, text = self._cut(text)
            self._line += part
            spans.append(self._in_text(part) if self.kind is BlockKind.TEXT else self._inside(part))
        return spans

    def reset(self) -> None:
        """Start afresh at the beginning of a line of plain text."""
        self._switch(BlockKind.TEXT, "")

    @property
    def at_line_start(self) -> bool:
        """Whether the text ends with a newline."""
        return not self._line

    def _cut(self, text: str) -> tuple[str, str]:
        """Split off the part up to the next newline or mark, whichever ends first."""
        end = text.find("\n") + 1 or len(text)
        mark = self._mark()
        line = self._line + text[:end]
        if mark == self._fence and mark and not line.lstrip(" \t").startswith(mark):
            mark = ""
        found = line.find(mark) if mark else -1
        if found >= 0:
            end = found + len(mark) - len(self._line)
        return text[:end], text[end:]

    def _mark(self) -> str:
        """Return what ends the present state in mid-line; empty when nothing does."""
        if self.kind is BlockKind.TEXT:
            return CALL_OPEN
        return CALL_CLOSE if self.kind is BlockKind.CALL else self._fence

    def _in_text(self, part: str) -> Span:
        if self._line.endswith(CALL_OPEN):
            self._switch(BlockKind.CALL, "")
        elif part.endswith("\n"):
            opening = OPENING.fullmatch(self._line.rstrip("\r\n"))
            self._line = ""
            if opening:
                self._switch(_fenced_kind(opening[2]), opening[1])
        return Span(BlockKind.TEXT, part)

    def _inside(self, part: str) -> Span:
        kind, mark = self.kind, self._mark()
        if self._line.endswith(mark) and (
            kind is BlockKind.CALL or self._line.lstrip(" \t") == mark
        ):
            last = self._line.removesuffix(mark) if kind is BlockKind.CALL else ""
            body = "".join([*self._body, last])
            self._switch(BlockKind.TEXT, "")
            self._line = NO_OPENING
            return Span(kind, part, closed=body)
        if part.endswith("\n"):
            self._body.append(self._line)
            self._line = ""
        return Span(kind, part)

    def _switch(self, kind: BlockKind, fence: str) -> None:
        self.kind, self._line, self._fence = kind, "", fence
        self._body.clear()


def _fenced_kind(tag: str) -> BlockKind:
    tag = tag.lower()
    if tag in PYTHON_TAGS:
        return BlockKind.PYTHON
    return BlockKind.JSON if tag == "json" else BlockKind.OTHER
