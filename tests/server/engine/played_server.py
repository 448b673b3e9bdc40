"""An HTTP server in the test's own process, whose answers the test writes byte by byte."""

import asyncio
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

#: Gets the path, the body of a request with one, and where to write to.
Play = Callable[[str, dict[str, Any], StreamWriter], Awaitable[None]]

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n"
#: Between two pings: far shorter than the silence that tests allow.
PING_S = 0.02


@asynccontextmanager
async def played(play: Play) -> AsyncIterator[str]:
    """Serve for the length of the block; each answer ends with its connection."""

    async def handle(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = head.partition("content-length:")[2].split("\r\n")[0].strip()
            body = await reader.readexactly(int(length or 0))
            await play(head.split(" ")[1], json.loads(body or b"{}"), writer)
            await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def repeat(writer: StreamWriter, data: bytes) -> None:
    """Write the same again and again until nobody takes it."""
    while True:
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(PING_S)


def whole(content: bytes, media_type: str = "application/json", status: int = 200) -> bytes:
    """Return an answer that is no stream."""
    head = f"HTTP/1.1 {status} Oh\r\nContent-Type: {media_type}\r\nContent-Length: {len(content)}"
    return head.encode() + b"\r\n\r\n" + content


def data(event: dict[str, Any]) -> bytes:
    """Return an event of a stream."""
    return b"data: " + json.dumps(event).encode() + b"\n\n"
