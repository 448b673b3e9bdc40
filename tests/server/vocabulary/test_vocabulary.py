"""What every vocabulary does, whichever kind of file it comes from."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.vocabulary import UnknownControlToken, UnknownToken, Vocabulary, VocabularyError
from tests.server.vocabulary import tiny_models

NAMES = [*tiny_models.CONTROLS, *tiny_models.USER_DEFINED]
#: Text that mixes any characters with what tempts an encoder: control names, their halves, runs.
TEXTS = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        st.sampled_from(
            [*NAMES, "<|im_", "end|>", "<0x0A>", "▁", " \n\n", "👨‍👩‍👧", "don't", "[PAD0]"]
        ),
    ),
    max_size=8,
).map("".join)


@given(text=TEXTS)
@example(text="\n\n\n")
def test_plain_text_comes_back_and_names_no_control(vocabulary: Vocabulary, text: str) -> None:
    ids = vocabulary.encode(text)
    if vocabulary.decode(vocabulary.encode("▁")) == " ":  # the layout with marked spaces
        text = text.replace("▁", " ")
    assert vocabulary.decode(ids) == text
    assert b"".join(map(vocabulary.token_bytes, ids)) == text.encode()
    assert not any(map(vocabulary.is_control, ids))


@given(data=st.data(), text=TEXTS)
def test_decoding_in_parts_gives_the_same_text(
    vocabulary: Vocabulary, data: st.DataObject, text: str
) -> None:
    ids = vocabulary.encode(text)
    # Ids that break characters apart: drop some, so that stray bytes stand anywhere.
    ids = [token_id for token_id in ids if data.draw(st.integers(0, 4)) > 0]
    cut = data.draw(st.integers(0, len(ids)))
    decoder = vocabulary.decoder()
    parts = [decoder.feed(ids[:cut])] + [decoder.feed([token_id]) for token_id in ids[cut:]]
    assert "".join(parts) + decoder.flush() == vocabulary.decode(ids)


@given(data=st.data())
def test_any_ids_decode_alike_whole_and_in_parts(
    vocabulary: Vocabulary, data: st.DataObject
) -> None:
    ids = data.draw(st.lists(st.integers(0, vocabulary.size - 1), max_size=20))
    decoder = vocabulary.decoder()
    assert "".join(decoder.feed([i]) for i in ids) + decoder.flush() == vocabulary.decode(ids)


@given(text=TEXTS)
def test_spelling_finds_the_ids_that_encoding_chose(vocabulary: Vocabulary, text: str) -> None:
    ids = tuple(vocabulary.encode(text))[:6]
    data = b"".join(map(vocabulary.token_bytes, ids))
    assert ids in vocabulary.spell(data, len(ids), limit=10_000)


def test_a_decoder_is_fresh_after_its_flush(vocabulary: Vocabulary) -> None:
    first_byte = vocabulary.spell("😀".encode()[:1], 1)[0]
    decoder = vocabulary.decoder()
    assert decoder.feed(first_byte) == ""
    assert decoder.flush() == "\ufffd"
    assert decoder.flush() == ""
    assert decoder.feed(vocabulary.encode("a")) == "a"


def test_lone_surrogates_are_replaced_and_pairs_joined(vocabulary: Vocabulary) -> None:
    assert vocabulary.decode(vocabulary.encode("a\ud83db")) == "a\ufffdb"
    assert vocabulary.encode("\ud83d\ude00") == vocabulary.encode("😀")


def test_controls_are_named_by_id_and_back(vocabulary: Vocabulary) -> None:
    assert sorted(vocabulary.controls) == sorted(NAMES)
    for name in NAMES:
        token_id = vocabulary.control(name)
        assert vocabulary.controls[name] == token_id
        assert vocabulary.is_control(token_id)
        assert vocabulary.token_bytes(token_id) == name.encode()
        assert vocabulary.decode([token_id]) == name
    with pytest.raises(UnknownControlToken, match=r"'<\|eot\|>': not in this vocabulary; choose"):
        vocabulary.control("<|eot|>")


def test_the_ends_of_text_are_known(vocabulary: Vocabulary) -> None:
    ends = {vocabulary.control("<|im_end|>"), vocabulary.control("<|endoftext|>")}
    assert vocabulary.eos_ids == ends


@pytest.mark.parametrize("outside", [-1, 10**12])
def test_ids_outside_the_vocabulary_are_refused(vocabulary: Vocabulary, outside: int) -> None:
    with pytest.raises(UnknownToken, match="must be from 0 to"):
        vocabulary.decode([outside])
    with pytest.raises(UnknownToken):
        vocabulary.decoder().feed([outside])
    assert not vocabulary.is_control(outside)


def test_long_runs_are_encoded_in_time(vocabulary: Vocabulary) -> None:
    for text in (" " * 100_000, "a" * 100_000, "\n \n" * 30_000, "😀" * 20_000):
        assert vocabulary.decode(vocabulary.encode(text)) == text


@pytest.mark.parametrize("name", ["missing.gguf", "folder"])
def test_a_path_without_vocabulary_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(VocabularyError, match=r"no such file; give a \.gguf file or a folder"):
        Vocabulary.load(tmp_path / name)
