"""GGUF files: whole, cut short, hostile, and of kinds that are refused."""

import contextlib
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.vocabulary import Vocabulary, VocabularyError, read_metadata
from tests.server.vocabulary import tiny_models
from tests.server.vocabulary.conftest import PRE_NAMES


def whole_metadata() -> bytes:
    """Return metadata with a value of each type."""
    return tiny_models.metadata_bytes(
        {
            "u8": struct.pack("<IB", 0, 200),
            "i64": struct.pack("<Iq", 11, -5),
            "f32": struct.pack("<If", 6, 0.5),
            "bool": struct.pack("<I?", 7, True),
            "text": tiny_models.text("naïve"),
            "texts": tiny_models.texts(["a", "", "ü"]),
            "numbers": struct.pack("<IIQ3i", 9, 5, 3, 1, -2, 3),
        }
    )


def test_metadata_of_each_type_is_read(tmp_path: Path) -> None:
    path = tmp_path / "whole.gguf"
    path.write_bytes(whole_metadata())
    assert read_metadata(path) == {
        "u8": 200,
        "i64": -5,
        "f32": 0.5,
        "bool": True,
        "text": "naïve",
        "texts": ["a", "", "ü"],
        "numbers": [1, -2, 3],
    }


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = whole_metadata().rstrip(b"\0")
    path = tmp_path / "cut.gguf"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(
            VocabularyError, match=r"not a whole GGUF file: .*; fetch the file again"
        ):
            read_metadata(path)


@given(place=st.integers(4, 400), junk=st.binary(min_size=1, max_size=8))
def test_a_damaged_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, place: int, junk: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.gguf"
    whole = whole_metadata()
    path.write_bytes(whole[:place] + junk + whole[place + len(junk) :])
    # Anything but a dictionary or the typed error fails the test.
    with contextlib.suppress(VocabularyError):
        assert isinstance(read_metadata(path), dict)


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        (struct.pack("<IQ", 8, 2**63), "bytes are announced"),
        (struct.pack("<IIQ", 9, 8, 2**60), "strings are announced"),
        (struct.pack("<IIQ", 9, 10, 2**62), "bytes are announced"),
        (struct.pack("<IIQ", 9, 9, 2), "value type 9"),
        (struct.pack("<I", 77), "value type 77"),
    ],
)
def test_absurd_lengths_and_types_are_refused(tmp_path: Path, entry: bytes, complaint: str) -> None:
    path = tmp_path / "hostile.gguf"
    path.write_bytes(tiny_models.metadata_bytes({"key": entry}))
    with pytest.raises(VocabularyError, match=complaint):
        read_metadata(path)


@pytest.mark.parametrize("head", [b"PK\3\4 not GGUF", b"", b"GGUF" + struct.pack("<I", 1)])
def test_other_files_are_refused(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(head)
    with pytest.raises(VocabularyError, match=r"other\.gguf: not a whole GGUF file"):
        Vocabulary.load(path)


@pytest.mark.parametrize("pre", PRE_NAMES)
def test_ids_are_the_trained_tokenizers(tiny_gguf: Callable[[str], Path], pre: str) -> None:
    vocabulary = Vocabulary.load(tiny_gguf(pre))
    trained = tiny_models.train(pre)
    for text in tiny_models.CORPUS:
        assert vocabulary.encode(text) == trained.tokenizer.encode(text).ids
    assert vocabulary.chat_template == tiny_models.CHAT_TEMPLATE
    assert vocabulary.token_bytes(vocabulary.size - 1) == b""  # the padding token


def test_only_llama_3_takes_whole_tokens_without_merging(tmp_path: Path) -> None:
    for pre, expected in (("llama-bpe", 1), ("qwen2", 6)):
        bpe = tiny_models.train(pre)
        unmerged = replace(bpe, tokens=[*bpe.tokens, "Ġzzyzx"])
        path = tmp_path / f"{pre}.gguf"
        path.write_bytes(tiny_models.gguf_bytes(unmerged, pre))
        assert len(Vocabulary.load(path).encode(" zzyzx")) == expected


def test_an_unknown_split_rule_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(tiny_models.gguf_bytes(tiny_models.train("qwen2"), "tekken"))
    with pytest.raises(VocabularyError, match=r"tokenizer\.ggml\.pre 'tekken': must be one of"):
        Vocabulary.load(path)


def test_a_vocabulary_that_is_no_byte_level_bpe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(
        tiny_models.metadata_bytes({"tokenizer.ggml.model": tiny_models.text("llama")})
    )
    with pytest.raises(VocabularyError, match=r"tokenizer\.ggml\.model 'llama': must be 'gpt2'"):
        Vocabulary.load(path)
    bpe = tiny_models.train("qwen2")
    path.write_bytes(tiny_models.gguf_bytes(replace(bpe, tokens=bpe.tokens[10:]), "qwen2"))
    with pytest.raises(VocabularyError, match="10 of the 256 byte tokens are missing"):
        Vocabulary.load(path)
