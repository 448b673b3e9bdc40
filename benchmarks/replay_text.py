"""When two outputs of one cell are the same: what differs between any two runs is put aside.

Our errors are short and stock's are long, so of an error only the last line counts; all else that
a cell has shown must be equal.
"""

import re
from enum import StrEnum

from sandbox.output import clean

#: Each is replaced by its name in angle brackets.
_VARYING = (
    ("address", re.compile(r"0x[0-9a-fA-F]{6,}")),
    ("cell", re.compile(r"<ipython-input-\d+-[0-9a-f]+>|\bCell In\[\d+\]|\bCell \d+(?=, line)")),
    ("path", re.compile(r"(?<![\w.])(?:~|\.)?(?:/[\w.+@-]+){2,}/?")),
    ("time", re.compile(r"\b\d+(?:\.\d+)?(?:e[+-]?\d+)?[ \t]*(?:[nmuµμ]?s|sec|seconds|min)\b")),
)

#: A warning of stock kernels has a place before it and the source after it, which can be that of
#: several lines; ours has the place only when that is in a cell.
_STOCK_WARNING = re.compile(
    r"^<path>:\d+: (\w+: .*\n)(?:  .*\n|((?:(?!<path>:).*\n){1,8}?)  \S.*\n)?", re.MULTILINE
)
#: A cell that stock kernels compile again and again has its warnings each time, first without path.
_COMPILED_BEFORE = re.compile(
    r"^(?:<>:\d+: (SyntaxWarning: .*)\n)+(?=<path>:\d+: \1\n)", re.MULTILINE
)
_OUR_WARNING = re.compile(r"^<cell>, line \d+: (\w*Warning: )", re.MULTILINE)

#: How an error of ours begins: an earlier error, a frame, or at once its name.
_OUR_ERROR = re.compile(r"\(after |<cell>, line \d+|String, line \d+|[A-Za-z_]\w*(?::|$)")

#: IPython's advice after each SystemExit; our kernels leave it out.
_EXIT_ADVICE = re.compile(r"^UserWarning: To exit: use .*\n", re.MULTILINE)

#: What stock says of code that ends too early: as in a prompt, where more lines may come.
_INCOMPLETE = "SyntaxError: incomplete input"
_SYNTAX_ERROR = re.compile(r"(?:Syntax|Indentation)Error: .")

_CUT = re.compile(r"\n\[\.\.\. [\d,]+ characters cut \.\.\.\]\n")

_LONG_INTEGER = re.compile(r"Exceeds the limit \(\d+ digits\) for integer string conversion")


class Verdict(StrEnum):
    """How an output of ours compares with stock's."""

    EQUAL = "equal"
    LONG_INTEGER = "long integer"
    """Intended: stock refuses to print it."""
    BOUNDED = "bounded output"
    """Intended: what we kept of it is the beginning and the end of stock's."""
    STATE_KEPT = "state kept"
    """Intended: stock was replaced at a time-out and misses a name that ours still has."""
    INCOMPLETE_INPUT = "incomplete input"
    """Intended: of code that ends too early ours says what is missing."""
    DIFFERENT = "different"


def normalised(text: str) -> str:
    """Plain text without addresses, cell numbers, paths, timings and places of warnings."""
    text = clean(text)
    for name, pattern in _VARYING:
        text = pattern.sub(f"<{name}>", text)
    text = _STOCK_WARNING.sub(r"\1\2", _COMPILED_BEFORE.sub("", text))
    text = _OUR_WARNING.sub(r"\1", text)
    text = _EXIT_ADVICE.sub("", text)
    return "\n".join(line.rstrip() for line in text.rstrip().split("\n"))


def last_line(text: str) -> str:
    """The last line that is not empty."""
    return text.rstrip().rpartition("\n")[2].strip()


def compare(ours: str, shown: str, error: str | None, *, cut: bool) -> Verdict:
    """Judge an output of ours by stock's.

    Args:
        ours: the whole output of ours, its error included.
        shown: what stock showed before its error, if it had one.
        error: the last line of stock's error; None when there was none.
        cut: the output of ours was cut.
    """
    if error is not None and _LONG_INTEGER.search(error) and not _LONG_INTEGER.search(ours):
        return Verdict.LONG_INTEGER
    if cut:
        return _compare_ends(ours, shown, error)
    mine, theirs = normalised(ours), normalised(shown)
    if error is None:
        return Verdict.EQUAL if mine == theirs else Verdict.DIFFERENT
    if not mine.startswith(theirs):
        return Verdict.DIFFERENT
    rest = mine[len(theirs) :].lstrip("\n")
    return _compare_errors(rest, normalised(error))


def agrees_with_record(ours: str, recorded: str) -> bool:
    """Whether an output is what was recorded elsewhere, on another machine; last lines do."""
    mine, theirs = normalised(ours), normalised(recorded)
    return mine == theirs or ("Error" in theirs and last_line(mine) == last_line(theirs))


def _compare_errors(ours: str, stock: str) -> Verdict:
    mine = last_line(ours)
    if not _OUR_ERROR.match(ours):
        return Verdict.DIFFERENT
    if stock == _INCOMPLETE and _SYNTAX_ERROR.match(mine):
        return Verdict.INCOMPLETE_INPUT
    return Verdict.EQUAL if mine == stock else Verdict.DIFFERENT


def _compare_ends(ours: str, shown: str, error: str | None) -> Verdict:
    head, *_, tail = _CUT.split(ours)
    whole = shown if error is None else f"{shown.rstrip()}\n{error}"
    first, last = last_line(normalised(head)), last_line(normalised(tail))
    begins = normalised(whole).startswith(normalised(head)[: -len(first) or None])
    ends = normalised(whole).endswith(last)
    return Verdict.BOUNDED if begins and ends else Verdict.DIFFERENT
