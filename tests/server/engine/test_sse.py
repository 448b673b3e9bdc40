"""Splitting an engine's stream into events."""

from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine import sse
from server.engine.errors import EngineProtocolError
from server.engine.sse import data_lines

STREAM = 'data: {"a": 1}\n\n: a comment\ndata:{"b": "é\\n"}\r\n\r\nevent: x\ndata: 3\n\n\ndata: \n'
PAYLOADS = [b'{"a": 1}', '{"b": "é\\n"}'.encode(), b"3"]


async def parts(of: Sequence[bytes]) -> AsyncIterator[bytes]:
    for part in of:
        yield part


def lines_of(*chunks: bytes) -> list[bytes]:
    async def collect() -> list[bytes]:
        return [line async for line in data_lines(parts(chunks))]

    return anyio.run(collect)


@given(st.lists(st.integers(0, len(STREAM.encode()))))
def test_events_do_not_depend_on_where_the_stream_is_split(cuts: list[int]) -> None:
    data = STREAM.encode()
    edges = [0, *sorted(cuts), len(data)]
    chunks = [data[start:end] for start, end in pairwise(edges)]
    assert lines_of(*chunks) == PAYLOADS


def test_byte_by_byte() -> None:
    assert lines_of(*(bytes([byte]) for byte in STREAM.encode())) == PAYLOADS


def test_nothing_is_read_after_done() -> None:
    assert lines_of(b"data: 1\n\ndata: [DONE]\n\ndata: 2\n\n") == [b"1"]
    assert lines_of(b"data: 1\n\ndata: [DO", b"NE]") == [b"1"]


def test_a_last_event_without_its_newline_counts() -> None:
    assert lines_of(b"data: 1\n\nda", b"ta: 2") == [b"1", b"2"]
    assert lines_of() == []


@pytest.mark.parametrize("cut", [b'data: {"a": [1, 2', b"data: [DON", b"data: nul"])
def test_a_last_event_that_is_cut_is_a_broken_connection(cut: bytes) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match="in the midst of an event"):
        lines_of(b"data: 1\n\n", cut)


@pytest.mark.parametrize("chunk_bytes", [1, 7, 64])
def test_an_event_over_the_bound_is_refused(
    monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 50)
    line = b"data: " + b"x" * 44 + b"\n"
    chunks = [line[i : i + chunk_bytes] for i in range(0, len(line), chunk_bytes)]
    assert lines_of(*chunks) == [b"x" * 44]
    with pytest.raises(EngineProtocolError, match="50 bytes"):
        lines_of(*chunks[:-1], *[b"y" * chunk_bytes] * 64)
