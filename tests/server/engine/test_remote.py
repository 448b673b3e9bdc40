"""The client of engines' servers: what is no answer, and what only looks like one."""

import asyncio
import json
from asyncio import StreamReader, StreamWriter
from typing import Any

import anyio
import pytest

from server.engine import remote
from server.engine.errors import (
    EngineError,
    EngineFailed,
    EngineRefused,
    EngineStalled,
    EngineUnavailable,
)
from server.engine.remote import RemoteServer, no_doubt
from tests.server.engine.played_server import PING_S, STREAM_HEAD, Play, played, repeat, whole

BOUND_S = 30


async def lines_of(play: Play, silence_s: float, path: str = "") -> list[bytes]:
    """Return the events of a stream from a server that plays."""
    found: list[bytes] = []
    async with played(play) as url, RemoteServer("fake", url + path, "", no_doubt) as server:
        with anyio.fail_after(BOUND_S):
            async with server.stream("/generate", {}, silence_s) as blocks:
                async for lines in blocks:
                    found += lines
    return found


def writing(*parts: bytes) -> Play:
    async def play(path: str, body: dict[str, Any], writer: StreamWriter) -> None:
        del path, body
        writer.write(b"".join(parts))

    return play


@pytest.mark.parametrize("ping", [b":\n\n", b": ping\n\n", b"event: ping\n\n", b" "])
@pytest.mark.parametrize("begun", [b"", b"data: 1\n\n", b"data: {"])
async def test_pings_are_no_events(begun: bytes, ping: bytes) -> None:
    async def play(path: str, body: dict[str, Any], writer: StreamWriter) -> None:
        del path, body
        writer.write(STREAM_HEAD + begun)
        await repeat(writer, ping)

    with pytest.raises(EngineStalled, match=r"engine\.stall_timeout_s"):
        await lines_of(play, silence_s=0.3)


async def test_a_head_that_does_not_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A status such as 102 (processing) may come as often as a proxy likes."""
    monkeypatch.setattr(remote, "CONNECT_S", 0.2)

    async def play(path: str, body: dict[str, Any], writer: StreamWriter) -> None:
        del path, body
        await repeat(writer, b"HTTP/1.1 102 Processing\r\n\r\n")

    with pytest.raises(EngineStalled):
        await lines_of(play, silence_s=0.2)


async def test_events_among_pings_are_all_read() -> None:
    async def play(path: str, body: dict[str, Any], writer: StreamWriter) -> None:
        del path, body
        writer.write(STREAM_HEAD)
        for number in range(5):
            for part in (b": ping\n\n", b"data: ", b"%d\n\n" % number):
                writer.write(part)
                await asyncio.sleep(PING_S)

    assert await lines_of(play, silence_s=10) == [b"0", b"1", b"2", b"3", b"4"]


def told(message: str, **more: object) -> bytes:
    return json.dumps({"error": {"message": message, **more}}).encode()


@pytest.mark.parametrize(
    ("content", "media_type", "error"),
    [
        (told("it says why", code=503), "application/json", EngineUnavailable),
        (told("it says why", code=400), "application/json; charset=utf-8", EngineRefused),
        (told("it says why", code=401), "application/json", EngineFailed),
        (told("it says why", code=200), "application/json", EngineUnavailable),
        (told("it says why", code="full"), "application/problem+json", EngineUnavailable),
        (b'{"message": "it says why", "code": 429}', "application/json", EngineUnavailable),
        (b'{"message": "it says why", "code": 422}', "application/json", EngineRefused),
        (b'["it says why"]', "application/json", EngineUnavailable),
        (b'{"error": "it says why"}', "application/json", EngineUnavailable),
        (b"it says why", "application/json", EngineUnavailable),
        (b"<h1>it says why</h1>", "text/html", EngineUnavailable),
    ],
)
async def test_an_error_with_the_status_of_a_success_says_why(
    content: bytes, media_type: str, error: type[EngineError]
) -> None:
    with pytest.raises(EngineError, match="it says why") as caught:
        await lines_of(writing(whole(content, media_type)), silence_s=10)
    assert type(caught.value) is error


async def test_an_event_that_is_cut_off_is_a_broken_connection() -> None:
    """Without a length and without chunks, a break cannot be told from an end."""
    with pytest.raises(EngineUnavailable, match="broke"):
        await lines_of(writing(STREAM_HEAD, b'data: 1\n\ndata: {"output_'), silence_s=10)


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/base/v1"])
async def test_paths_are_from_the_root_whatever_address_is_given(path: str) -> None:
    asked: list[str] = []

    async def play(path: str, body: dict[str, Any], writer: StreamWriter) -> None:
        del body
        asked.append(path)
        writer.write(STREAM_HEAD)

    assert await lines_of(play, silence_s=10, path=path) == []
    assert asked == ["/base/generate" if path.startswith("/base") else "/generate"]


async def test_a_key_is_sent_without_the_white_space_around_it() -> None:
    heads: list[bytes] = []

    async def handle(reader: StreamReader, writer: StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(whole(b"{}"))
        writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening, RemoteServer("fake", url, " secret\r\n", no_doubt) as server:
        assert await server.get("/health") == {}
    assert b"\r\nAuthorization: Bearer secret\r\n" in heads[0]


@pytest.mark.parametrize("key", ["sec\nret", "schlüssel"])
def test_a_key_that_no_header_can_have_is_refused_without_it(key: str) -> None:
    with pytest.raises(EngineFailed, match="printable ASCII") as told:
        RemoteServer("fake", "http://127.0.0.1:9", key, no_doubt)
    assert key[:3] not in str(told.value)
