"""An attempt token by token: id, text, probability; a stretch of it at a time."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from server.journal.rows import Float16s
from server.page.store import TokenPiece
from server.page.visible import visible
from server.vocabulary import Vocabulary
from server.vocabulary.errors import UnknownToken

#: Tokens of one request, and so of one block of the view: a screen holds about 1,000 of them.
CHUNK = 500
#: A character has at most four bytes, so that it begins at most three tokens earlier.
BYTES_BEFORE = 3
#: Places that a search reports.
MOST_FOUND = 1_000
#: Upper bounds of the probability of shades 1, 2, ...; what is likelier has shade 0. A model that
#: samples at temperature 1 is this sure of about nine tokens in ten.
SHADES = (0.9, 0.6, 0.3, 0.1, 0.02)


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an attempt's list.

    `text` is what it adds to the text: "" where a character is not whole yet, and where there is no
    vocabulary. `logprob` and `confidence` are None where the engine gave none.
    """

    position: int
    id: int
    text: str
    sampled: bool
    turn: int
    logprob: float | None = None
    confidence: float | None = None

    @property
    def probability(self) -> float | None:
        """What the model gave it, 0 to 1."""
        return None if self.logprob is None else math.exp(min(self.logprob, 0.0))

    @property
    def shade(self) -> int:
        """How unlikely it was, 0 to 5; 0 where that is not known."""
        return shade(self.probability)

    def as_list(self) -> list[Any]:
        """Return it for the script: id, text, sampled, turn, probability, confidence."""
        rounded = None if self.probability is None else round(self.probability, 4)
        sure = None if self.confidence is None else round(self.confidence, 2)
        return [self.id, self.text, int(self.sampled), self.turn, rounded, sure]


def shade(probability: float | None) -> int:
    """Return how unlikely a token of this probability is, from 0 to 5."""
    return 0 if probability is None else sum(probability < bound for bound in SHADES)


def tokens(
    pieces: Iterable[TokenPiece], vocabulary: Vocabulary | None, start: int, stop: int
) -> Iterator[Token]:
    """Yield tokens `start` to `stop`; `pieces` overlap `start` - `BYTES_BEFORE` to `stop`."""
    decoder = vocabulary.decoder() if vocabulary else None
    for piece in pieces:
        first = max(piece.start, start - BYTES_BEFORE)
        for position in range(first, min(piece.start + len(piece.ids), stop)):
            index = position - piece.start
            token_id = int(piece.ids[index])
            text = ""
            if decoder is not None:
                try:
                    text = decoder.feed([token_id])
                except UnknownToken:
                    text = "\ufffd"
            if position >= start:
                yield Token(
                    position, token_id, visible(text), piece.kind == "sampled", piece.turn,
                    _number(piece.logprobs, index), _number(piece.confidence, index),
                )  # fmt: skip


def _number(numbers: Float16s | None, index: int) -> float | None:
    number = math.nan if numbers is None else float(numbers[index])
    return number if math.isfinite(number) else None


def find(pieces: Sequence[TokenPiece], vocabulary: Vocabulary, wanted: str) -> list[int]:
    """Return the positions of the tokens in which a text begins, whatever its case."""
    spelled: list[bytes] = []
    positions: list[int] = []
    for piece in pieces:
        for offset, token_id in enumerate(piece.ids.tolist()):
            if token_id < vocabulary.size:
                spelled.append(vocabulary.token_bytes(token_id))
                positions.append(piece.start + offset)
    ends = np.cumsum([len(each) for each in spelled])
    text = b"".join(spelled).decode("utf-8", "surrogateescape")
    found: list[int] = []
    read = size = 0
    for match in re.finditer(re.escape(wanted), text, re.IGNORECASE) if wanted else ():
        size += len(text[read : match.start()].encode("utf-8", "surrogateescape"))
        read = match.start()
        position = positions[int(np.searchsorted(ends, size, side="right"))]
        if not found or found[-1] != position:
            found.append(position)
        if len(found) == MOST_FOUND:
            break
    return found
