"""The line that opens a fenced block: its fence, its language, and code that stands beside them."""

import re
from dataclasses import dataclass

#: Three or more backticks, a language, and the rest, indented at will (models indent in lists).
#: Possessive, so that the time is linear in the line.
_OPENING = re.compile(r"([ \t]*+)(`{3,}+)[ \t]*+([A-Za-z0-9_+.#-]*+)([^`]*+)")
PYTHON_TAGS = frozenset({"python", "py", "python3", "sage", "tool_code", "ipython"})
#: What follows a language and is no code: words, `name=value`, or anything in braces. A name has
#: two letters at least: `x=1` is code.
_INFO = re.compile(
    r"(?:[ \t]++(?:[A-Za-z][\w-]++=(?:\"[^\"]*+\"|'[^']*+'|[\w.,:/-]*+)|[\w.,:/@#-]++)(?![^ \t]))*+"
    r"[ \t]*+(?:[({\[<].*+)?"
)
#: Code that is made of nothing but words.
_STATEMENT = re.compile(
    r"import[ \t]|from[ \t]++[\w.]++[ \t]++import[ \t]|(?:class|for|if|try|while|with)\b.*:\Z"
)


@dataclass(frozen=True, slots=True)
class Opening:
    """A line that opens a block; `code` is what the body begins with, which stands in that line."""

    fence: str
    tag: str
    code: str = ""

    @property
    def is_python(self) -> bool:
        """Whether Python follows."""
        return self.tag in PYTHON_TAGS


def read_opening(line: str) -> Opening | None:
    """Return what a line opens, given with its end; None where it is another line."""
    text = line.rstrip("\r\n")
    found = _OPENING.fullmatch(text)
    if found is None:
        return None
    indent, fence, tag, rest = found.groups()
    opening = Opening(fence, tag.lower())
    if not opening.is_python or not _is_code(rest):
        return opening
    # The lines after it are indented as the fence is.
    return Opening(fence, opening.tag, indent + rest.strip() + (line[len(text) :] or "\n"))


def _is_code(rest: str) -> bool:
    """Tell whether what follows the word for Python is code, and no info string."""
    if not rest.startswith((" ", "\t")):
        return False
    return _INFO.fullmatch(rest) is None or _STATEMENT.match(rest.strip()) is not None
