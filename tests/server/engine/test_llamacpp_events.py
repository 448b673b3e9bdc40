"""Reading llama-server's events, and the ids that its stream loses."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine.base import FinishReason
from server.engine.errors import EngineError, EngineProtocolError
from server.engine.llamacpp_events import EventReader
from server.vocabulary import Vocabulary

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)  # fmt: skip
FIELDS = (
    "tokens", "content", "stop", "stop_type", "tokens_predicted", "completion_probabilities",
    "error",
)  # fmt: skip


def event(content: str, predicted: int, *ids: int, **more: object) -> bytes:
    known = {"content": content, "tokens": ids, "tokens_predicted": predicted, "stop": False}
    return orjson.dumps({**known, **more})


def single(vocabulary: Vocabulary, data: bytes) -> int:
    """Return the id of the plain token that stands for these bytes alone."""
    ((token_id,), *_) = vocabulary.spell(data, 1)
    return token_id


def test_tokens_are_counted_from_event_to_event(tiny_vocabulary: Vocabulary) -> None:
    reader = EventReader(tiny_vocabulary)
    a, b = single(tiny_vocabulary, b"a"), single(tiny_vocabulary, b"b")
    assert reader.read(event("a", 1, a)).token_ids == (a,)
    chunk = reader.read(event("b", 2, b))
    assert (chunk.token_ids, chunk.exact, chunk.finish_reason) == ((b,), True, None)
    last = reader.read(event("", 2, stop=True, stop_type="eos"))
    assert (last.token_ids, last.exact, last.finish_reason) == ((), True, FinishReason.STOP)


def test_ids_lost_inside_a_character_are_recovered(tiny_vocabulary: Vocabulary) -> None:
    lead, middle, end = (single(tiny_vocabulary, byte) for byte in (b"\xe9", b"\xb1", b"\xbb"))
    chunk = EventReader(tiny_vocabulary).read(event("鱻", 3, end))
    assert chunk.token_ids == (lead, middle, end)
    assert chunk.exact


def test_lost_ids_take_their_probabilities_with_them(tiny_vocabulary: Vocabulary) -> None:
    end = single(tiny_vocabulary, b"\xbb")
    entry = {"id": end, "logprob": -1.5, "top_logprobs": [{"id": end, "logprob": -1.5}]}
    line = event("鱻", 3, end, completion_probabilities=[entry])
    chunk = EventReader(tiny_vocabulary).read(line)
    assert len(chunk.token_ids) == 3
    assert chunk.logprobs == ()
    assert chunk.top_logprobs == ()


class Ambiguous(Vocabulary):
    """Four tokens of a byte each and two of two bytes, so that an emoji has several spellings."""

    size = 6

    def __init__(self, usual: list[int]) -> None:
        self._usual = usual

    def token_bytes(self, token_id: int) -> bytes:
        return [b"\xf0", b"\x9f", b"\x98", b"\x80", b"\xf0\x9f", b"\x9f\x98"][token_id]

    def encode(self, text: str) -> list[int]:
        assert text == "😀"
        return self._usual

    def spell(self, data: bytes, count: int, limit: int = 2) -> list[tuple[int, ...]]:
        assert (data, count, limit) == (b"\xf0\x9f\x98", 2, 2)
        return [(4, 2), (0, 5)]


@pytest.mark.parametrize(
    ("usual", "expected"),
    [
        pytest.param([0, 5, 3], (0, 5, 3), id="the tokenizer's way fits"),
        pytest.param([0, 1, 2, 3], (4, 2, 3), id="it has another length: the longest first"),
    ],
)
def test_of_several_spellings_the_text_is_kept_but_not_called_exact(
    usual: list[int], expected: tuple[int, ...]
) -> None:
    chunk = EventReader(Ambiguous(usual)).read(event("😀", 3, 3))
    assert chunk.token_ids == expected
    assert not chunk.exact


@pytest.mark.parametrize(
    ("content", "predicted"),
    [("�", 3), ("", 3), ("鱻", 40), ("鱻" * 500, 3), ("鱻", 2**40), ("鱻", 2)],
)
def test_what_cannot_be_recovered_is_not_called_exact(
    tiny_vocabulary: Vocabulary, content: str, predicted: int
) -> None:
    end = single(tiny_vocabulary, b"\xbb")
    chunk = EventReader(tiny_vocabulary).read(event(content, predicted, end))
    assert chunk.token_ids == (end,)
    assert not chunk.exact


def test_a_loss_at_the_end_of_the_stream_is_seen(tiny_vocabulary: Vocabulary) -> None:
    line = event("", 2, stop=True, stop_type="limit")
    chunk = EventReader(tiny_vocabulary).read(line)
    assert (chunk.token_ids, chunk.exact) == ((), False)
    assert chunk.finish_reason is FinishReason.LENGTH


@given(JSON)
def test_no_json_raises_but_our_errors(tiny_vocabulary: Vocabulary, value: object) -> None:
    read_anything(tiny_vocabulary, orjson.dumps(value))


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON)))
def test_no_event_raises_but_our_errors(
    tiny_vocabulary: Vocabulary, fields: dict[str, object]
) -> None:
    read_anything(tiny_vocabulary, orjson.dumps(fields))
    fields.pop("error", None)
    whole = {"tokens": [], "tokens_predicted": 1, "content": "é", "stop": False, **fields}
    read_anything(tiny_vocabulary, orjson.dumps(whole))


@given(st.binary(max_size=40))
def test_no_bytes_raise_but_our_errors(tiny_vocabulary: Vocabulary, data: bytes) -> None:
    with pytest.raises(EngineProtocolError):
        EventReader(tiny_vocabulary).read(b"{" + data)


def read_anything(vocabulary: Vocabulary, line: bytes) -> None:
    try:
        chunk = EventReader(vocabulary).read(line)
    except EngineError:
        return
    assert all(type(token_id) is int for token_id in chunk.token_ids)
    assert all(type(logprob) is float for logprob in chunk.logprobs)
