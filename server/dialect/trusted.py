"""Encodes text of our own or of a model's template, in which control tokens stand by name.

Never for text of a problem, a model or a tool: `Vocabulary.encode` is for that.
"""

import re

from server.vocabulary import Vocabulary


def encode_trusted(vocabulary: Vocabulary, text: str) -> list[int]:
    """Return the ids of text, each control token's name read as the token."""
    if not vocabulary.controls:
        return vocabulary.encode(text)
    # Longest first: one name may begin another.
    names = sorted(vocabulary.controls, key=len, reverse=True)
    ids: list[int] = []
    for part in re.split(f"({'|'.join(map(re.escape, names))})", text):
        token_id = vocabulary.controls.get(part)
        ids += vocabulary.encode(part) if token_id is None else [token_id]
    return ids
