"""Text that others wrote, made safe to read: nothing in it is a command or invisible."""

from server.journal.views import VISIBLE

#: Control characters become their pictures and marks of direction U+FFFD, as on the terminal; lone
#: surrogates, which UTF-8 has not, and noncharacters too. The isolates and the Arabic letter mark
#: are marks of direction like the others.
TABLE = {
    **VISIBLE,
    **dict.fromkeys([0x061C, 0x200E, 0x200F, 0xFEFF, 0xFFFE, 0xFFFF], 0xFFFD),
    **dict.fromkeys(range(0xD800, 0xE000), 0xFFFD),
}


def visible(text: object) -> str:
    """Return what can be shown of a value; nothing for None."""
    return "" if text is None else str(text).translate(TABLE)


def clipped(text: str, most: int) -> str:
    """Return a line of at most `most` characters: white space is one space, what is cut is `…`."""
    line = " ".join(text[: 4 * most].split())
    return line if len(line) <= most and len(text) <= 4 * most else line[: most - 1] + "…"


def tail(text: str, most: int) -> str:
    """Return the last characters of a text, from the beginning of a line where one is near."""
    if len(text) <= most:
        return text
    kept = text[-most:]
    head, newline, rest = kept.partition("\n")
    return rest if newline and len(head) < most // 4 else kept
