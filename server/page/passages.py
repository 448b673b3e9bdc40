"""An attempt in passages, each with the place of its tokens, for people who label it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from server.page.tokens import Token

#: Characters of a part of an attempt: 25,000 tokens, which a browser draws at once.
PART_CHARS = 100_000
_BLANK = re.compile(r"\n[ \t]*\n\s*\Z")


@dataclass(slots=True)
class Passage:
    """Tokens `begin` to `end` (not included); `lengths` are of their texts, as scripts count."""

    begin: int
    end: int
    sampled: bool
    turn: int
    text: str = ""
    lengths: list[int] = field(default_factory=list)

    def take(self, token: Token) -> None:
        """Add a token."""
        self.end = token.position + 1
        self.text += token.text
        # UTF-16's units, in which scripts count
        self.lengths.append(len(token.text.encode("utf-16-le", "surrogatepass")) // 2)


def passages(tokens: Iterable[Token]) -> list[Passage]:
    """Return passages in order: what was appended whole, what was sampled by its blank lines.

    A passage that is only white space goes with the one before.
    """
    found: list[Passage] = []
    for token in tokens:
        last = found[-1] if found else None
        if last is None or _begins(token, last):
            found.append(Passage(token.position, token.position, token.sampled, token.turn))
        found[-1].take(token)
    return found


def _begins(token: Token, last: Passage) -> bool:
    if last.sampled != token.sampled or last.turn != token.turn:
        return True
    ended = token.sampled and _BLANK.search(last.text[-64:]) is not None
    return ended and bool(token.text.strip())


def parts(found: Sequence[Passage]) -> list[list[Passage]]:
    """Return passages in parts of about `PART_CHARS` characters, at least one."""
    made: list[list[Passage]] = [[]]
    size = 0
    for each in found:
        if size and size + len(each.text) > PART_CHARS:
            made.append([])
            size = 0
        made[-1].append(each)
        size += len(each.text)
    return made
