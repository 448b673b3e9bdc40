"""The codec against jupyter_client's own session, both ways, and against bytes of anyone."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.session import Session

from sandbox.messages import Codec, Received

KEY = b"a-key-of-the-connection"
#: In bytes.
LONGEST = 200_000


def session(key: bytes = KEY) -> Session:
    return Session(key=key)


def frames_of(kind: str, content: dict[str, Any], key: bytes = KEY) -> list[bytes]:
    """A message as ipykernel sends it on iopub, in reply to request 7."""
    jupyter = session(key)
    message = jupyter.msg(kind, content, parent={"msg_id": "7"})
    frames: list[bytes] = jupyter.serialize(message, ident=b"topic")
    return frames


def test_jupyter_reads_what_it_writes() -> None:
    number, frames = Codec(KEY, LONGEST).encode("execute_request", {"code": "é\ud800 = 1"})
    jupyter = session()
    _, parts = jupyter.feed_identities(frames)
    message = jupyter.deserialize(parts)
    assert message["msg_type"] == "execute_request"
    assert message["msg_id"] == number
    assert message["content"]["code"] == "é\ud800 = 1"


def test_each_request_has_an_id_of_its_own() -> None:
    codecs = [Codec(KEY, LONGEST), Codec(KEY, LONGEST)]
    numbers = {codec.encode("kernel_info_request", {})[0] for codec in codecs for _ in range(10)}
    assert len(numbers) == 20


@given(st.dictionaries(st.text(max_size=10), st.none() | st.integers() | st.text(), max_size=4))
def test_it_reads_what_jupyter_writes(content: dict[str, Any]) -> None:
    try:
        frames = frames_of("stream", content)
    except (ValueError, TypeError):
        return
    assert Codec(KEY, LONGEST).decode(frames) == Received("stream", "7", content)


def test_what_is_too_long_is_not_looked_at() -> None:
    frames = frames_of("stream", {"text": "x"})
    size = sum(map(len, frames))
    assert Codec(KEY, size).decode(frames) is not None
    assert Codec(KEY, size - 1).decode(frames) is None


def test_another_key_is_refused() -> None:
    assert Codec(KEY, LONGEST).decode(frames_of("stream", {}, key=b"another")) is None


@pytest.mark.parametrize("place", range(1, 7))
def test_a_changed_frame_is_refused(place: int) -> None:
    frames = frames_of("stream", {"text": "x"})
    assert Codec(KEY, LONGEST).decode(frames) is not None
    frames[place] += b" "
    assert Codec(KEY, LONGEST).decode(frames) is None


@pytest.mark.parametrize(
    "parts",
    [
        [b"{}"] * 4,
        [b'{"msg_type": "stream"}', b"{}", b"{}", b"{}"],
        [b'{"msg_type": 1}', b'{"msg_id": "7"}', b"{}", b"{}"],
        [b'{"msg_type": "stream"}', b'{"msg_id": "7"}', b"{}", b"[]"],
        [b"[]", b"[]", b"[]", b"[]"],
        [b"not json", b"{}", b"{}", b"{}"],
        [b"\xff", b"{}", b"{}", b"{}"],
        [b"{}"],
        [b"[" * 100_000, b"{}", b"{}", b"{}"],
    ],
)
def test_signed_nonsense_is_refused(parts: list[bytes]) -> None:
    codec = Codec(KEY, LONGEST)
    signature = codec._signature(parts)
    assert codec.decode([b"<IDS|MSG>", signature, *parts]) is None


@given(st.lists(st.binary(max_size=20) | st.just(b"<IDS|MSG>"), max_size=8))
def test_bytes_of_anyone_raise_nothing(frames: list[bytes]) -> None:
    assert Codec(KEY, LONGEST).decode(frames) is None


def test_the_request_is_json_of_the_protocol() -> None:
    _, frames = Codec(KEY, LONGEST).encode("kernel_info_request", {"a": 1})
    header, parent, metadata, content = map(json.loads, frames[2:])
    assert set(header) == {"msg_id", "msg_type", "session", "username", "date", "version"}
    assert (parent, metadata, content) == ({}, {}, {"a": 1})
