"""Text that comes out of a cell: bounding it, cleaning it, and the notices put into it.

Pure functions without dependencies: the kernel's process and the pool's both use them.
"""

import re
from collections import deque

from sandbox.types import CellStatus, InterruptStep

_ANSI_SEQUENCE = re.compile(
    r"\x1b(?:"
    r"\[[0-?]*[ -/]*[@-~]"  # control sequences: colours, cursor movement
    # Strings up to their terminator: titles, links. One without ends with its line, or it would
    # take all that comes: the error, and how much was cut.
    r"|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\)?"
    r"|[ -/]*[0-~]"  # two-character escapes
    r")?"
)

#: What more text can complete to a sequence, or make a longer one; at the end of a text.
_HALF_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b\n]*\x1b?|[ -/]*)\Z")

#: Control characters that mean nothing in a transcript; tab, newline and return are kept.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class BoundedText:
    """Keeps the first and the last characters of a text of any length, half of `limit` each.

    Appending costs time in the length of what is appended, whatever was appended before.
    """

    def __init__(self, limit: int) -> None:
        self._head_room = limit // 2
        self._tail_limit = limit - limit // 2
        self._head: list[str] = []
        self._tail: deque[str] = deque()
        self._tail_length = 0
        self._cut = 0

    @property
    def cut(self) -> int:
        """How many characters were left out."""
        return self._cut

    @property
    def head(self) -> str:
        """The text up to the cut (when nothing is cut: its first half)."""
        return "".join(self._head)

    @property
    def tail(self) -> str:
        """The text after the cut (when nothing is cut: the rest)."""
        return "".join(self._tail)

    def append(self, text: str) -> None:
        """Add text at the end, dropping what no longer fits from the middle."""
        if self._head_room > 0:
            part, text = text[: self._head_room], text[self._head_room :]
            self._head.append(part)
            self._head_room -= len(part)
        if not text:
            return
        excess = len(text) - self._tail_limit
        if excess > 0:
            self._cut += excess
            text = text[excess:]
        self._tail.append(text)
        self._tail_length += len(text)
        self._trim_tail()

    def skip(self, count: int) -> None:
        """Count characters that were left out before they came here; the head ends here."""
        if count > 0:
            self._head_room = 0
            self._cut += count + self._tail_length
            self._tail.clear()
            self._tail_length = 0

    def render(self) -> str:
        """Head, a notice of how much was cut, and tail; or the whole text if nothing was."""
        if not self._cut:
            return self.head + self.tail
        return f"{self.head}\n[... {self._cut:,} characters cut ...]\n{self.tail}"

    def _trim_tail(self) -> None:
        excess = self._tail_length - self._tail_limit
        while excess > 0:
            first = self._tail.popleft()
            if len(first) > excess:
                self._tail.appendleft(first[excess:])
            dropped = min(excess, len(first))
            self._tail_length -= dropped
            self._cut += dropped
            excess -= dropped


def clip(text: str, limit: int) -> str:
    """At most `limit` characters of a text and the notice of what was cut from its middle."""
    bounded = BoundedText(limit)
    bounded.append(text)
    return bounded.render()


def clean(text: str) -> str:
    """Plain, encodable text: stripped and settled."""
    return settle(strip(text))


def strip(text: str) -> str:
    """Encodable text without terminal sequences and control characters, but for carriage returns.

    Lone surrogates are written as escapes.
    """
    text = _CONTROL.sub("", _ANSI_SEQUENCE.sub("", text))
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def settle(text: str) -> str:
    """Reduce a line that carriage returns rewrite (a progress bar) to its last writing."""
    text = text.replace("\r\n", "\n")
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return text


class Stripper:
    """`strip` for a text that comes in pieces: what may be half a terminal sequence waits."""

    def __init__(self) -> None:
        self._pending = ""

    def feed(self, text: str) -> str:
        """Return what can be said now, stripped."""
        text = self._pending + text
        half = _HALF_SEQUENCE.search(text)
        end = half.start() if half else len(text)
        self._pending = text[end:]
        return strip(text[:end])

    def finish(self) -> str:
        """Return the rest: nothing more will come."""
        text, self._pending = self._pending, ""
        return strip(text)


def ending_notice(status: CellStatus, step: InterruptStep, timeout_s: float, cause: str) -> str:
    """The line that tells a reader how a cell was stopped; empty for one that ended by itself.

    `cause` is said of a kernel that died: "exit code 0", "signal 11".
    """
    lost = "variables and imports of earlier cells are lost"
    kept = lost if step is InterruptStep.KILL else "variables are kept"
    if status is CellStatus.TIMEOUT:
        return f"[stopped after {timeout_s:g} s; {kept}]"
    if status is CellStatus.INTERRUPTED:
        return f"[interrupted; {kept}]"
    if status is CellStatus.DIED:
        return f"[the kernel died ({cause}); {lost}]"
    return ""
