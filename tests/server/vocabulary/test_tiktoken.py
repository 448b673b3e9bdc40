"""tiktoken rank files: encoding as by rank, the control tokens of o200k_harmony, and refusals."""

import base64
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.vocabulary import Vocabulary, VocabularyError
from server.vocabulary.table import byte_level_piece
from tests.server.vocabulary import tiny_models


def trained_ranks() -> list[bytes]:
    """Return the pieces of a small BPE: single bytes, then what merges make, in their order."""
    bpe = tiny_models.train("gpt-4o", size=700)
    single = [bytes([byte]) for byte in range(256)]
    merged = [byte_level_piece(left + right) for left, right in bpe.merges]
    return [*single, *dict.fromkeys(piece for piece in merged if len(piece) > 1)]


RANKS = trained_ranks()


def write(path: Path, lines: list[bytes]) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def lines_of(pieces: list[bytes]) -> list[bytes]:
    return [base64.b64encode(piece) + b" %d" % rank for rank, piece in enumerate(pieces)]


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    folder = tmp_path_factory.mktemp("tiktoken")
    write(folder / "small.tiktoken", lines_of(RANKS))
    return Vocabulary.load(folder)


def merged_by_rank(piece: bytes, ranks: Mapping[bytes, int]) -> list[int]:
    """Merge as tiktoken defines it: whole if known, else the lowest-ranked pair first."""
    if piece in ranks:
        return [ranks[piece]]
    parts = [bytes([byte]) for byte in piece]
    while True:
        pairs = [
            (ranks[a + b], place) for place, (a, b) in enumerate(pairwise(parts)) if a + b in ranks
        ]
        if not pairs:
            return [ranks[part] for part in parts]
        _, place = min(pairs)
        parts[place : place + 2] = [parts[place] + parts[place + 1]]


@given(word=st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyzäöé"), min_size=1, max_size=24))
def test_words_are_merged_by_rank(vocabulary: Vocabulary, word: str) -> None:
    """A word of small letters is one piece of the split, so only merging is at work."""
    ranks = {piece: rank for rank, piece in enumerate(RANKS)}
    assert vocabulary.encode(word) == merged_by_rank(word.encode(), ranks)


@given(text=st.text(max_size=40))
def test_text_comes_back(vocabulary: Vocabulary, text: str) -> None:
    ids = vocabulary.encode(f"{text}<|end|>")
    assert not any(map(vocabulary.is_control, ids))
    assert vocabulary.decode(ids).endswith("<|end|>")


def test_control_tokens_follow_the_ranks(vocabulary: Vocabulary) -> None:
    """At the places that o200k_harmony has them: 199,998 ranks, then these."""
    published = {
        "<|startoftext|>": 199_998, "<|endoftext|>": 199_999, "<|return|>": 200_002,
        "<|constrain|>": 200_003, "<|channel|>": 200_005, "<|start|>": 200_006, "<|end|>": 200_007,
        "<|message|>": 200_008, "<|call|>": 200_012,
    }  # fmt: skip
    for name, token_id in published.items():
        assert vocabulary.control(name) - len(RANKS) == token_id - 199_998
    assert vocabulary.size - len(RANKS) == 201_088 - 199_998
    ends = {"<|return|>", "<|call|>", "<|endoftext|>"}
    assert vocabulary.eos_ids == {vocabulary.control(name) for name in ends}


def test_a_tokenizer_json_is_read_before_ranks(tmp_path: Path) -> None:
    write(tmp_path / "small.tiktoken", lines_of(RANKS))
    tiny_models.write_tokenizer_json(tiny_models.train("qwen2"), tmp_path / "tokenizer.json")
    assert "<|im_start|>" in Vocabulary.load(tmp_path).controls


GOOD = lines_of(RANKS)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([*GOOD, b"!!! 5"], "must be a token in base64 and its rank"),
        ([*GOOD, b"YWJj"], "must be a token in base64 and its rank"),
        ([*GOOD, b"YWJj x"], "must be a token in base64 and its rank"),
        ([*GOOD[:300], *GOOD[301:]], "line 301: ranks must count from 0"),
        ([*GOOD, GOOD[5]], "ranks must count from 0"),
        ([*GOOD, GOOD[5].split()[0] + b" %d" % len(GOOD)], "without gap or repeat"),
        (lines_of(RANKS[1:]), "1 of the 256 single bytes are missing"),
        ([], "256 of the 256 single bytes are missing"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, lines: list[bytes], complaint: str) -> None:
    path = write(tmp_path / "bad.tiktoken", lines)
    with pytest.raises(VocabularyError, match=f"{complaint}.*; fetch the file again"):
        Vocabulary.load(path)
