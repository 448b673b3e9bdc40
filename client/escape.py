"""Making text safe for a terminal.

What a model writes, and what its code prints, is hostile: an escape sequence could rewrite the
screen, the clipboard or the window's title, and a bidirectional control could make an answer read
as another. Everything shown that we did not write goes through here.
"""

import re
import unicodedata

#: ECMA-48 escape sequences: CSI …; OSC, DCS, SOS, PM, APC with their strings up to the terminator
#: (a string without one is cut at the line's end); two-character escapes.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)

_TAB = "    "

#: Categories that are invisible or act on the terminal: controls, formats (bidirectional marks,
#: zero-width joiners), surrogates, line and paragraph separators, unassigned and private use.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Cn", "Co"})


def printable(text: str) -> str:
    """Return text without escape sequences and control characters; lines end in a newline only.

    A tab becomes four spaces. Other unsafe characters become U+FFFD, so that their presence shows,
    but for formats, which vanish (they occur in honest text).
    """
    if text.isascii() and text.isprintable():
        return text
    text = _SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", "\n").replace("\t", _TAB)
    return "".join(map(_safe, text))


def one_line(text: str) -> str:
    """Return text as `printable` does, in one line with single spaces."""
    return " ".join(printable(text).split())


def _safe(character: str) -> str:
    if character == "\n" or character.isprintable():
        return character
    category = unicodedata.category(character)
    if category == "Cf":
        return ""
    if category in ("Zl", "Zp"):
        return "\n"
    return "\N{REPLACEMENT CHARACTER}" if category in _UNSAFE else character
