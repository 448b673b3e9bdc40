"""The documentation's pages, and their code blocks with what is to be done with each."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))

#: `<!-- … -->` on the line before a block, the block, and `<!-- … -->` on the line after it.
_BLOCK = re.compile(
    r"(?:^<!-- (?P<before>[^\n]*) -->\n)?"
    r"^```(?P<language>\w+)\n(?P<body>.*?)^```$"
    r"(?:\n<!-- (?P<after>not run: [^\n]*) -->$)?",
    re.DOTALL | re.MULTILINE,
)


class Use(Enum):
    """What a block is for."""

    RUN = auto()
    """A program or command, run against the scripted gateway."""
    MODEL = auto()
    """A command that needs the weights (`run: model`)."""
    OUTPUT = auto()
    """What the block before it prints (`output`)."""
    FILE = auto()
    """The content of a file (`file: NAME`)."""
    NOT_RUN = auto()
    """Shown only; a reason must stand after it (`not run: REASON`)."""


@dataclass(frozen=True, slots=True)
class Block:
    """One code block; `name` is that of the file for `Use.FILE`."""

    use: Use
    language: str
    body: str
    line: int
    name: str = ""


def blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [_block(match, text) for match in _BLOCK.finditer(text)]


def _block(match: re.Match[str], text: str) -> Block:
    before = match["before"] or ""
    line = text.count("\n", 0, match.start("language")) + 1
    word, _, name = before.partition(": ")
    use = {"output": Use.OUTPUT, "file": Use.FILE, "run": Use.MODEL}.get(word, Use.RUN)
    if match["after"]:
        use = Use.NOT_RUN
    return Block(use, match["language"], match["body"], line, name)


def links(page: Path) -> Iterator[str]:
    """Yield the targets of a page's links and images that lead to other files or to headings."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not re.match(r"\w+:", target):
            yield target


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def prose(page: Path) -> str:
    """Return a page's text without its code blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))
