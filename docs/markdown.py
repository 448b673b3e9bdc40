"""Markdown as the reference pages need it."""

from collections.abc import Iterable, Sequence


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a line end or a bar in a cell does not break it."""
    lines = [_row(headings), _row(["---"] * len(headings)), *map(_row, rows)]
    return "\n".join(lines)


def code(text: str) -> str:
    """Return a text as inline code."""
    return f"`{text}`"


def sentence(text: str) -> str:
    """Return the first paragraph of a text on one line."""
    return " ".join(text.strip().partition("\n\n")[0].split())


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
