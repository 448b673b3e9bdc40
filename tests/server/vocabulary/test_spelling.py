"""The search for spellings, against trying everything."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from server.vocabulary.spelling import Speller

PIECES = {b"a": [0], b"b": [1, 7], b"ab": [2], b"aa": [3], b"aba": [4], b"\xf0": [5], b"\x9f": [6]}
BYTES_OF = {token_id: piece for piece, ids in PIECES.items() for token_id in ids}


@given(data=st.text("ab", max_size=6).map(str.encode), count=st.integers(0, 6))
def test_all_ways_are_found_once_and_no_other(data: bytes, count: int) -> None:
    tried = {
        ids
        for ids in product(BYTES_OF, repeat=min(count, 4))
        if b"".join(BYTES_OF[token_id] for token_id in ids) == data
    }
    found = list(Speller(PIECES).spellings(data, min(count, 4)))
    assert len(found) == len(set(found))
    assert set(found) == tried


def test_longest_tokens_come_first_and_impossible_ways_not_at_all() -> None:
    speller = Speller(PIECES)
    assert next(speller.spellings(b"abaa", 2)) == (4, 0)
    assert list(speller.spellings(b"\xf0\x9f", 2)) == [(5, 6)]
    assert list(speller.spellings(b"\xf0\x9f", 1)) == []
    assert list(speller.spellings(b"a", 2)) == []
    assert list(speller.spellings(b"", 0)) == [()]
    assert list(speller.spellings(b"a", 0)) == []
    assert list(speller.spellings(b"a", -1)) == []


def test_a_search_with_billions_of_ways_starts_at_once() -> None:
    ways = Speller(PIECES).spellings(b"ab" * 100, 150)
    first, second = next(ways), next(ways)
    assert len(first) == len(second) == 150
    assert first != second
