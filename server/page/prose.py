"""What a model writes between its calls, as pieces: words, strong words, code, formulas."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from server.page.mathematics import Formula, formula
from server.page.visible import visible

#: Formulas of one page that are converted; the rest is shown as it is written.
MOST_FORMULAS = 400


class PieceKind(StrEnum):
    """How a piece is shown."""

    TEXT = "text"
    STRONG = "strong"
    CODE = "code"
    MATH = "math"


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text; `math` is the formula, where `kind` says so."""

    kind: PieceKind
    text: str
    math: Formula | None = None


@dataclass(slots=True)
class Formulas:
    """How many formulas a page may still convert."""

    left: int = field(default=MOST_FORMULAS)

    def convert(self, latex: str, *, display: bool) -> Formula | None:
        """Return a formula as MathML, None where it is shown as it is written."""
        if self.left <= 0:
            return None
        self.left -= 1
        return formula(latex, display=display)


#: Each alternative ends where another could begin, so that a search takes time in proportion to the
#: text, whatever it says. A dollar before a space or a digit after one is money. A display is a
#: line of its own, and so is the line end after it.
MARKS = re.compile(
    r"\$\$(?P<display>[^$]{1,2000})\$\$\n?"
    r"|\\\[(?P<bracket>(?:(?!\\[()\[\]]).){1,2000})\\\]\n?"
    r"|\\\((?P<paren>(?:(?!\\[()\[\]]).){1,1000})\\\)"
    r"|(?<![\\$\w])\$(?P<inline>[^\s$](?:[^$\n]{0,500}[^\s$\\])?)\$(?!\d)"
    r"|(?P<box>\\boxed\{[^{}\n]{1,200}\})"
    r"|\*\*(?P<strong>[^*\n]{1,300})\*\*"
    r"|(?<!`)`(?P<code>[^`\n]{1,300})`(?!`)",
    re.DOTALL,
)
#: What may still become a formula on a later line; all else ends with its line.
OPENINGS = re.compile(r"\$\$|\\\[|\\\(")
#: Characters that are read again and again while more is awaited: the longest formula has half.
MOST_OPEN = 4_000


def settled(text: str) -> int:
    """Return the length of the beginning of a text that reads the same whatever comes after it.

    It ends with a line, in no formula, so that the pieces of both parts are those of the whole.
    """
    position = cut = 0
    if len(text) > MOST_OPEN:
        position = cut = (text.rfind("\n", 0, len(text) - MOST_OPEN // 2) + 1) or len(text)
    ends = [(match.start(), match.end()) for match in MARKS.finditer(text, position)]
    for start, end in [*ends, (len(text), len(text))]:
        opening = OPENINGS.search(text, position, start)
        newline = text.rfind("\n", position, opening.start() if opening else start)
        cut = max(cut, newline + 1)
        if opening:
            break
        position = end
    return cut


def pieces(text: str, formulas: Formulas) -> Iterator[Piece]:
    """Yield the pieces of a text; together they are all of it."""
    position = 0
    for match in MARKS.finditer(text):
        if match.start() > position:
            yield Piece(PieceKind.TEXT, visible(text[position : match.start()]))
        yield _marked(match, formulas)
        position = match.end()
    if position < len(text):
        yield Piece(PieceKind.TEXT, visible(text[position:]))


def _marked(match: re.Match[str], formulas: Formulas) -> Piece:
    kind, inner = next((k, v) for k, v in match.groupdict().items() if v is not None)
    if kind == "strong":
        return Piece(PieceKind.STRONG, visible(inner))
    if kind == "code":
        return Piece(PieceKind.CODE, visible(inner))
    math = formulas.convert(inner.strip(), display=kind in ("display", "bracket"))
    return Piece(PieceKind.TEXT if math is None else PieceKind.MATH, visible(match[0]), math)
