r"""One spelling for the many that a text answer may have.

Only spelling is unified (spaces, fonts, sizes, ``\dfrac`` and ``\frac``); whether two different
expressions are equal is for a symbolic check to say.
"""

import re
from dataclasses import dataclass, field

from voting.integers import MAX_CHARACTERS, parse_integer
from voting.latex import COLOR, FONTS, GAP, SILENT, group_end, plain_spacing
from voting.typed import in_latex
from voting.units import is_unit

#: Outer braces and full stops taken off, and rounds of spelling, before an answer is refused as
#: hostile. An ordinary answer settles in two rounds; the bound keeps the work linear.
MAX_ROUNDS = 4

_TOKEN = re.compile(
    rf"""
    (?P<nothing>
        \\(?:left|right)(?![A-Za-z])(?:\s*\.)?
      | \\(?:{SILENT}|thinspace)(?![A-Za-z])
      | {COLOR}|{GAP}
      | (?:\\\\|\\)\s*\Z
      | \\[,;:>!/\ ()\[\]$\n]
      | [\s$~\u200b\u2060\ufeff]+
    )
  | (?P<script>[_^])\s*\\(?:{FONTS})\s*\{{
  | (?P<font>\\(?:{FONTS})\s*\{{)
  | (?P<command>\\[A-Za-z]+)
  | (?P<digits>[0-9]+)
  | (?P<letters>[A-Za-z]+)
  | (?P<open>\{{)
  | (?P<close>\}})
  | (?P<relation>[<>!]=)
  | (?P<other>\\.|[^\\])
    """,
    re.VERBOSE | re.DOTALL,
)

_SPELLINGS = {
    r"\dfrac": r"\frac",
    r"\tfrac": r"\frac",
    r"\cfrac": r"\frac",
    r"\sfrac": r"\frac",
    r"\nicefrac": r"\frac",
    r"\dbinom": r"\binom",
    r"\tbinom": r"\binom",
    r"\leqslant": r"\le",
    r"\geqslant": r"\ge",
    "pi": r"\pi",
    r"\leq": r"\le",
    r"\geq": r"\ge",
    r"\neq": r"\ne",
    r"\lt": "<",
    r"\gt": ">",
    "<=": r"\le",
    ">=": r"\ge",
    "!=": r"\ne",
    r"\lbrace": r"\{",
    r"\rbrace": r"\}",
    r"\lvert": "|",
    r"\rvert": "|",
    r"\vert": "|",
    r"\ldots": r"\dots",
    r"\cdots": r"\dots",
    r"\%": "%",
    r"\degree": r"^{\circ}",
    "\u00b0": r"^{\circ}",
    "\u2212": "-",
    "\u03c0": r"\pi",
    "\u221e": r"\infty",
    "\u2264": r"\le",
    "\u2265": r"\ge",
    "\u2026": r"\dots",
}

_DIGIT = frozenset("0123456789")
#: What stands in a box where an answer should: dots, a blank, a question mark, the word itself.
_PUNCTUATION = frozenset("?._-,;:!{}()[]*'\"` ")
_PLACEHOLDERS = frozenset(
    [
        *("answer", "your answer", "final answer", "the answer", "the final answer"),
        *("your final answer", "answer here", "your answer here", "final answer here"),
        *("insert answer", "insert answer here", "your final answer here"),
    ]
)
#: Signs that stand for what is to be filled in, and what placeholders are put between.
_BLANKS = re.compile(r"(?:\\(?:dots|cdot|square|Box|_))+")
_AROUND_PLACEHOLDERS = " <>[](){}\\_.:*"

#: Sets that have a symbol and a name.
_NAMED_SETS = {
    **dict.fromkeys(
        ["all real numbers", "all reals", "the real numbers", "real numbers", "all real values",
         "the set of all real numbers", "the set of real numbers", r"\R", r"\reals", "\u211d"],
        r"\mathbb{R}",
    ),
    **dict.fromkeys(
        ["the empty set", "empty set", r"\varnothing", r"\{\}", "\u2205"], r"\emptyset"
    ),
}  # fmt: skip

#: Arguments written without braces: of an exponent or index (a whole number, not TeX's one digit,
#: for that is what ``2^10`` means to its writer), of a fraction, of a root.
_SCRIPT = re.compile(rf"(?<!\\)([_^])\s*(-?[0-9]+|[A-Za-z]|\\(?!(?:{FONTS})\s*\{{)[A-Za-z]+)")
_FRACTION = re.compile(
    r"\\frac ?(?:([0-9A-Za-z])|\{([^{}]*)\}|(\\pi)) ?"
    r"(?:([0-9])(?![0-9])|([A-Za-z])|\{([^{}]*)\}|(\\pi)(?![A-Za-z]))"
)
_ROOT = re.compile(r"\\sqrt ?([0-9])(?![0-9])")
#: A word set as text at the end, where a number's unit stands; what else a number has no letter of.
_UNIT = re.compile(
    r"(?:\\[,;:! ]|~|\s){0,4}(?P<unit>\\(?:text|textrm|mathrm|mbox)\s*\{[^{}]{1,60}\}"
    r"(?:\^(?:[23]|\{[23]\}))?)(?P<end>(?:[\s.$]|\\[)\]]){0,6})\Z"
)
_RELATION = re.compile(r"[=<>]|\\(?:leq?|geq?|approx)(?![A-Za-z])")
_COMMANDS = re.compile(
    r"\\(?:[dtc]?frac|sqrt|pi|left|right|cdot|times|displaystyle|textstyle)(?![A-Za-z])"
)
#: Groups of three with a separator that parts nothing else; a bare comma may part two numbers. What
#: stands before may end a root's or an exponent's own digit.
_THOUSANDS = re.compile(
    r"(?<![0-9.A-Za-z^_\\])(?<![A-Za-z] )"
    r"[1-9][0-9]{0,2}(?P<mark>\{,\}|,\\!|\\,)[0-9]{3}(?:(?P=mark)[0-9]{3})*+(?![0-9])"
)
_LETTERS = re.compile(r"[A-Za-z]")
_LEAD = re.compile(r"=|\\therefore(?![A-Za-z])")
_QUOTED = re.compile(r"\"([^\"]+)\"|``([^`']+)''")
_PARAGRAPH = re.compile(r"\n[ \t\r]*\n")


def canonical_text(written: str) -> str | None:
    """Return the canonical spelling of a text answer, or None where it is none.

    None is the answer for what is empty, a placeholder, more than one paragraph, or longer than
    `MAX_CHARACTERS` in its canonical spelling. An integer in disguise comes out in plain digits, as
    `parse_integer` writes it. The canonical spelling of a canonical spelling is itself.
    """
    written = written.strip()
    if _PARAGRAPH.search(written):
        return None
    integer = parse_integer(written, curves=True)
    if integer is not None:
        return integer
    text = _settle(_without_unit(written))
    if text is None or len(text) > MAX_CHARACTERS:
        return None
    if _PUNCTUATION.issuperset(text) or _is_placeholder(text):
        return None
    return parse_integer(text, curves=True) or _NAMED_SETS.get(
        text if text.startswith("\\") else text.lower(), text
    )


def _is_placeholder(text: str) -> bool:
    return bool(_BLANKS.fullmatch(text)) or (
        text.strip(_AROUND_PLACEHOLDERS).lower() in _PLACEHOLDERS
    )


def _without_unit(written: str) -> str:
    """Return a text without the unit that follows a number: a fraction's, a root's, a decimal's.

    Of a relation it is the number on the right that has it.
    """
    match = _UNIT.search(written)
    if match is None or not is_unit(plain_spacing(match["unit"])):
        return written
    number = written[: match.start()]
    side = _COMMANDS.sub("", _RELATION.split(number)[-1])
    if not _DIGIT.intersection(side) or _LETTERS.search(side):
        return written
    return number + match["end"]


def _settle(text: str) -> str | None:
    """Respell until nothing changes; None where that takes more than `MAX_ROUNDS`."""
    for _ in range(MAX_ROUNDS):
        respelled = _bare(_spell(_THOUSANDS.sub(_ungrouped, in_latex(text))))
        if respelled == text:
            return text
        text = respelled
    return None


def _ungrouped(match: re.Match[str]) -> str:
    return match[0].replace(match["mark"], "")


def _bare(text: str) -> str:
    """Take stops and commas at the end, outer braces and the like off, at most `MAX_ROUNDS`."""
    for _ in range(MAX_ROUNDS):
        if text.endswith((".", ",", ";")) and not text.endswith(("..", "\\,", "\\;")):
            text = text[:-1].rstrip()
        elif lead := _LEAD.match(text):
            text = text[lead.end() :].lstrip()
        elif quoted := _QUOTED.fullmatch(text):
            text = (quoted[1] or quoted[2]).strip()
        elif text.startswith("{") and group_end(text, 0) == len(text) - 1:
            text = text[1:-1].strip()
    return text


def _spell(written: str) -> str:
    """Return a text with one spelling of every token, gap, and argument."""
    writer = _Writer()
    for match in _TOKEN.finditer(_SCRIPT.sub(r"\1{\2}", written)):
        token = match[0]
        match match.lastgroup:
            case "nothing":
                writer.gap = True
            case "font":
                writer.open_silently()
            case "script":
                writer.write(match["script"])
                writer.open()
            case "open":
                writer.open()
            case "close":
                writer.close()
            case _:
                writer.write(_SPELLINGS.get(token, token))
    text = _FRACTION.sub(_braced_fraction, "".join(writer.parts))
    return _ROOT.sub(r"\\sqrt{\1}", text)


def _braced_fraction(match: re.Match[str]) -> str:
    above = match[1] or match[2] or match[3] or ""
    below = match[4] or match[5] or match[6] or match[7] or ""
    return rf"\frac{{{above}}}{{{below}}}"


@dataclass(slots=True)
class _Writer:
    """Joins tokens, keeping a gap only where closing it would make another word or number."""

    parts: list[str] = field(default_factory=list)
    gap: bool = False
    #: For each open group, whether its braces are written.
    groups: list[bool] = field(default_factory=list)

    def open(self) -> None:
        self.groups.append(True)
        self.write("{")

    def open_silently(self) -> None:
        self.groups.append(False)
        self.gap = True

    def close(self) -> None:
        if self.groups and self.groups.pop():
            self.write("}")
        else:
            self.gap = True

    def write(self, piece: str) -> None:
        if piece == "," and self.gap:
            # A gap before a comma counts as one after it, where "1, 234" is told from "1,234".
            self.parts.append(piece)
            return
        if self.parts and self._must_part(self.parts[-1], piece):
            self.parts.append(" ")
        self.parts.append(piece)
        self.gap = False

    def _must_part(self, before: str, after: str) -> bool:
        last, first = before[-1], after[0]
        if before[0] == "\\" and last.isalpha() and first.isalpha():
            return True
        if not self.gap:
            return False
        if last == ",":
            return first in _DIGIT and len(after) == 3
        if last in _DIGIT or first in _DIGIT:
            return (last in _DIGIT or last == ".") and (first in _DIGIT or first == ".")
        return last.isalpha() and first.isalpha()
