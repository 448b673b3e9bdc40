r"""Find what a text puts in ``\boxed{...}``, in time linear in the text, whatever the text is."""

import re
from bisect import bisect_right
from dataclasses import dataclass, field

#: Boxes within boxes are reported up to this height, counted from the innermost. Writers nest two
#: (``\boxed{\boxed{42}}``); a bound keeps the sum of the contents linear in hostile text.
MAX_NESTED = 3

#: What ``\boxed`` without a brace takes in: a number up to the end of its word, or one command with
#: its groups. Anything else is prose about boxes ("put it in \boxed and").
_BARE = r"""
    [+\-\u2212]?[0-9][^\s$)\]\\]*+(?=[\s$)\]]|\\[)\]]|\Z)
  | \\(?!boxed|fbox)[A-Za-z]+(?:\{[^{}]*\})*+
"""

#: One to four backslashes: text that went through JSON or Python source doubles them. Escaped
#: characters are tokens, so that an escaped brace is not a brace.
_TOKEN = re.compile(
    rf"""
    (?P<open>\\{{1,4}}(?:boxed|fbox)\s*\{{)
  | \\{{1,4}}(?:boxed|fbox)(?![A-Za-z])[ \t]*(?P<bare>{_BARE})
  | \\.
  | (?P<brace>[{{}}])
    """,
    re.VERBOSE | re.DOTALL,
)

#: Mathematics holds no blank line, so one ends a box that was never closed.
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")


#: Boxes that make one list, and characters between two of them, at most.
MAX_JOINED = 32
MAX_GAP = 40
_SPACE = r"(?:\s|\$|~|\\[()\[\],;:! ]|\\q?quad(?![A-Za-z]))*+"
_AND = r"(?:and|\\(?:text|mathrm|textrm)\s*\{\s*(?:,\s*)?(?:and|,)\s*\})"
#: What parts two boxes of one list: a comma, "and", or both.
_LINK = re.compile(rf"{_SPACE}(?:,{_SPACE}(?:{_AND}{_SPACE})?|{_AND}{_SPACE})")

#: A line that opens or closes a fence, with the language that an opening one may name.
_FENCE = re.compile(
    r"^[ \t]{0,9}(?:```|~~~)[ \t]{0,9}(?P<language>[^\s`~]{0,20}+)[^\n`~]*$", re.MULTILINE
)
#: What a fence may be said to hold that is no program.
_NO_PROGRAM = frozenset(["", "latex", "tex", "math", "text", "txt", "plaintext", "markdown", "md"])


@dataclass(frozen=True, slots=True)
class Box:
    r"""One box of a text.

    ``content`` is what stands inside, as written. ``closed`` is false where the closing brace is
    missing; the content then ends at the next box, a blank line or the end of the text. ``start``
    and ``end`` are the offsets of the whole box in the text, in characters, end exclusive.
    """

    content: str
    closed: bool
    start: int
    end: int


@dataclass(slots=True)
class _Open:
    """A box whose closing brace has not come yet."""

    start: int
    content_start: int
    ordinal: int
    height: int = 1


@dataclass(slots=True)
class _Scan:
    """The state of one pass over a text."""

    text: str
    boxes: list[Box] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    open_boxes: list[_Open] = field(default_factory=list)
    #: For each open brace, whether it opens a box.
    braces: list[bool] = field(default_factory=list)

    def open(self, start: int, content_start: int) -> None:
        self.open_boxes.append(_Open(start, content_start, ordinal=len(self.starts)))
        self.starts.append(start)
        self.braces.append(True)

    def close(self, brace: int) -> None:
        if not self.braces or not self.braces.pop():
            return
        box = self.open_boxes.pop()
        if self.open_boxes:
            parent = self.open_boxes[-1]
            parent.height = max(parent.height, box.height + 1)
        if box.height <= MAX_NESTED:
            content = self.text[box.content_start : brace]
            self.boxes.append(Box(content, closed=True, start=box.start, end=brace + 1))

    def cut(self, box: _Open) -> Box:
        """Return the box that no brace closed, up to where its content can at most reach."""
        following = box.ordinal + 1
        end = self.starts[following] if following < len(self.starts) else len(self.text)
        if blank := _BLANK_LINE.search(self.text, box.content_start, end):
            end = blank.start()
        return Box(self.text[box.content_start : end], closed=False, start=box.start, end=end)


def boxed(text: str) -> list[Box]:
    r"""Return every ``\boxed{...}``, ``\boxed ...`` and ``\fbox{...}`` of a text.

    The closed boxes come first, in the order in which they end (so an outer box comes after those
    within it), then the unclosed ones in the order in which they start. Braces nest; escaped braces
    are text. Of boxes within boxes, the innermost `MAX_NESTED` levels are reported.
    """
    scan = _Scan(text)
    for token in _TOKEN.finditer(text):
        if token.lastgroup == "open":
            scan.open(token.start(), token.end())
        elif token.lastgroup == "bare":
            scan.starts.append(token.start())
            scan.boxes.append(Box(token["bare"], closed=True, start=token.start(), end=token.end()))
        elif token.lastgroup == "brace":
            if token["brace"] == "{":
                scan.braces.append(False)
            else:
                scan.close(token.start())
    scan.boxes.extend(scan.cut(box) for box in scan.open_boxes)
    return scan.boxes


def joined(text: str, boxes: list[Box]) -> list[Box]:
    r"""Return the last closed box of a text with those before it that belong to one list with it.

    They do where only spaces, dollars and commas or "and" part them: ``\boxed{1}, \boxed{2}``. A
    box that repeats another is left out. Empty where no box is closed.
    """
    closed = [box for box in boxes if box.closed]
    run = closed[-1:]
    for box in reversed(closed[:-1]):
        gap = text[box.end : run[-1].start] if box.end <= run[-1].start else ""
        if len(run) == MAX_JOINED or not gap or len(gap) > MAX_GAP or not _LINK.fullmatch(gap):
            break
        run.append(box)
    distinct = {box.content.strip(): box for box in reversed(run)}
    return list(distinct.values())


def outside_and_in_code(text: str, boxes: list[Box]) -> tuple[list[Box], list[Box]]:
    """Return the boxes outside the programs that stand in fences, and those inside, in their order.

    A program is a closed fence that names a language: what it prints is no answer of the text.
    """
    programs = _programs(text)
    starts = [start for start, _ in programs]
    outside: list[Box] = []
    inside: list[Box] = []
    for box in boxes:
        place = bisect_right(starts, box.start) - 1
        in_code = place >= 0 and box.start < programs[place][1]
        (inside if in_code else outside).append(box)
    return outside, inside


def _programs(text: str) -> list[tuple[int, int]]:
    """Return where programs begin and end; a fence within a fence begins anew."""
    programs: list[tuple[int, int]] = []
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text) if "```" in text or "~~~" in text else ():
        if opened is None or fence["language"]:
            opened = fence
        else:
            if opened["language"].lower() not in _NO_PROGRAM:
                programs.append((opened.start(), fence.end()))
            opened = None
    return programs
