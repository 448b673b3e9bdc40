"""Encodes text of our own or of a model's template, in which control tokens stand by name.

Never for text of a problem, a model or a tool: `Vocabulary.encode` is for that.
"""

import re
from collections.abc import Iterable

from server.vocabulary import Vocabulary

#: Pairs of trusted text and any text, which follow one another.
TrustedParts = Iterable[tuple[str, str]]


def encode_trusted(vocabulary: Vocabulary, text: str) -> list[int]:
    """Return the ids of text, each control token's name read as the token."""
    return encode_around(vocabulary, [(text, "")])


def encode_around(vocabulary: Vocabulary, parts: TrustedParts) -> list[int]:
    """Return the ids of pairs of trusted text and any text.

    The names in trusted text are read as tokens, those in the other are not. Text between two
    control tokens is encoded as one, as a tokenizer does that is given all of it.
    """
    ids: list[int] = []
    plain = ""
    for trusted, other in parts:
        for place, piece in enumerate(_split(vocabulary, trusted)):
            if place % 2:  # the names stand between the texts
                ids += [*vocabulary.encode(plain), vocabulary.controls[piece]]
                plain = ""
            else:
                plain += piece
        plain += other
    return ids + vocabulary.encode(plain)


def _split(vocabulary: Vocabulary, text: str) -> list[str]:
    """Return texts and control tokens' names in turn."""
    if not text or not vocabulary.controls:
        return [text]
    # Longest first: one name may begin another.
    names = sorted(vocabulary.controls, key=len, reverse=True)
    return re.split(f"({'|'.join(map(re.escape, names))})", text)
