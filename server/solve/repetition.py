"""Notices a model that has fallen into a loop.

A loop is the same run of tokens again and again at the end of the list. The test is exact equality
with the list shifted by a period; sampled text that only resembles itself passes.
"""

from collections.abc import Sequence

#: Tokens that must repeat: 192 tokens are about twelve lines. Long tables and lists in honest
#: solutions differ in their numbers.
WINDOW = 192
LONGEST_PERIOD = 64
#: How often to look, in sampled tokens.
EVERY = 32


def repeats(ids: Sequence[int]) -> bool:
    """Tell whether the last `WINDOW` ids repeat with a period of at most `LONGEST_PERIOD`."""
    if len(ids) < WINDOW:
        return False
    tail = list(ids[-WINDOW:])
    return any(
        tail[-1] == tail[-1 - period] and tail[period:] == tail[:-period]
        for period in range(1, LONGEST_PERIOD + 1)
    )
