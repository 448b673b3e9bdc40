"""The small HTTP client of engines, against servers that write answers in every way."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine.plain_http import PlainTransport, _Chunks

CONTENT = b"data: one\n\n" + b"x" * 300 + b"\r\n0\r\n\r\nand more"
CHUNKED = b"".join(
    b"%x%s\r\n%s\r\n" % (len(part), extension, part)
    for part, extension in ((CONTENT[:7], b""), (CONTENT[7:9], b";a=b"), (CONTENT[9:], b""))
) + b"0\r\n\r\n"  # fmt: skip
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


@asynccontextmanager
async def answering(*parts: bytes, silent_s: float = 0) -> AsyncIterator[str]:
    """Serve these bytes, each part in a write, to everybody."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
            await asyncio.sleep(silent_s)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def ask(url: str, read_s: float = 5.0) -> httpx.Response:
    timeout = httpx.Timeout(5.0, read=read_s)
    async with httpx.AsyncClient(transport=PlainTransport(), timeout=timeout) as client:
        return await client.get(url)


@given(st.lists(st.integers(0, len(CHUNKED)), max_size=40))
def test_chunks_do_not_depend_on_where_they_are_cut(cuts: list[int]) -> None:
    chunks = _Chunks()
    edges = [0, *sorted(cuts), len(CHUNKED)]
    found = [b"".join(chunks.feed(CHUNKED[start:end])) for start, end in pairwise(edges)]
    assert b"".join(found) == CONTENT
    assert chunks.over


@pytest.mark.parametrize(
    "parts",
    [
        [HEAD + b"Transfer-Encoding: chunked\r\n\r\n", CHUNKED],
        [HEAD + b"transfer-encoding:  Chunked\r\n\r\n" + CHUNKED + b"of no interest"],
        [HEAD + b"Content-Length: %d\r\n\r\n" % len(CONTENT), CONTENT],
        [HEAD[:9], HEAD[9:] + b"\r\n" + CONTENT],
        [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + HEAD + b"\r\n", CONTENT],
    ],
)
async def test_an_answer_is_read_however_it_is_written(parts: Sequence[bytes]) -> None:
    async with answering(*parts) as url:
        reply = await ask(url)
    assert reply.content == CONTENT
    assert reply.headers["content-type"] == "text/plain"


async def test_a_large_answer_comes_whole() -> None:
    content = bytes(range(256)) * 8192
    async with answering(HEAD + b"Content-Length: %d\r\n\r\n" % len(content) + content) as url:
        assert (await ask(url)).content == content


async def test_an_answer_without_a_body_does_not_wait_for_one() -> None:
    async with answering(b"HTTP/1.1 204 No Content\r\n\r\n", silent_s=3) as url:
        reply = await ask(url, read_s=1.0)
    assert (reply.status_code, reply.content) == (204, b"")


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ([], httpx.RemoteProtocolError),
        ([b"SSH-2.0-OpenSSH\r\n\r\n"], httpx.RemoteProtocolError),
        ([HEAD + b"Content-Length: 9\r\n\r\nshort"], httpx.RemoteProtocolError),
        ([HEAD + b"Content-Length: many\r\n\r\n"], httpx.RemoteProtocolError),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"], httpx.RemoteProtocolError),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab"], httpx.RemoteProtocolError),
        ([HEAD + b"x: " + b"y" * 70_000, b"z"], httpx.RemoteProtocolError),
    ],
)
async def test_what_is_no_answer_is_an_error_of_httpx(
    parts: Sequence[bytes], error: type[Exception]
) -> None:
    async with answering(*parts) as url:
        with pytest.raises(error):
            await ask(url)


async def test_silence_is_bounded() -> None:
    async with answering(HEAD + b"Content-Length: 9\r\n\r\n", silent_s=3) as url:
        with pytest.raises(httpx.ReadTimeout):
            await ask(url, read_s=0.1)


async def test_a_server_that_takes_nothing_is_bounded_too() -> None:
    """A process that is stopped keeps its connections, and reads none of a long prompt."""
    gone = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        await gone.wait()
        writer.close()

    # With a small limit the rest stays in the socket; it holds a few MB at the most.
    server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=1024)
    timeout = httpx.Timeout(5.0, read=0.1)
    async with server, httpx.AsyncClient(transport=PlainTransport(), timeout=timeout) as client:
        port = server.sockets[0].getsockname()[1]
        try:
            with anyio.fail_after(10), pytest.raises(httpx.WriteTimeout):
                await client.post(f"http://127.0.0.1:{port}", content=bytes(64 * 1024 * 1024))
        finally:
            gone.set()


async def test_nobody_there_is_a_connect_error() -> None:
    async with answering(b"") as url:
        pass
    with pytest.raises(httpx.ConnectError):
        await ask(url)
