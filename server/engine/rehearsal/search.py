"""Finds token ids in token ids."""

from array import array
from collections.abc import Sequence


def find(ids: Sequence[int], part: Sequence[int], start: int = 0) -> int:
    """Return where a part begins in ids, from a place on; -1 where it is not."""
    whole, wanted = array("I", ids[start:]), array("I", part)
    size = whole.itemsize
    data, pattern = whole.tobytes(), wanted.tobytes()
    at = data.find(pattern)
    while at >= 0 and at % size:
        at = data.find(pattern, at + 1)
    return at // size + start if at >= 0 else -1


def overlap(ids: Sequence[int], part: Sequence[int]) -> int:
    """Return how many ids of the part's beginning are the end of `ids`."""
    tail = list(ids[-len(part) :]) if part else []
    table = [0] * len(part)
    matched = 0
    for place in range(1, len(part)):
        while matched and part[place] != part[matched]:
            matched = table[matched - 1]
        matched += part[place] == part[matched]
        table[place] = matched
    matched = 0
    for token_id in tail:
        while matched and (matched == len(part) or token_id != part[matched]):
            matched = table[matched - 1]
        matched += token_id == part[matched]
    return matched
