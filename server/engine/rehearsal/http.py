"""A small HTTP/1.1 server: one request a connection, whole answers or streams in chunks.

Of its own, since the rehearsal has to be faster than what it is to load: one event a token, each
in a write of its own, from one core.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

MOST_HEAD_BYTES = 64 * 1024
#: Eight times a context of 131,072 ids in JSON.
MOST_BODY_BYTES = 8 * 1024 * 1024
#: A reader that is this far behind gets its tokens together, later.
MOST_UNREAD_BYTES = 256 * 1024
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
    b"Connection: close\r\n\r\n"
)
_END = b"0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `body` is None where it has none."""

    path: str
    authorization: str
    body: Any


class Connection(asyncio.Protocol):
    """One connection. `closed` is called when the client goes away or the answer is complete."""

    def __init__(self, handle: Callable[[Request, "Connection"], Awaitable[None]]) -> None:
        self._handle = handle
        self._data = b""
        self._task: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None
        self.closed: Callable[[], None] = _nothing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take bytes until the request is whole."""
        if self._task is not None:
            return
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            if len(head) > MOST_HEAD_BYTES:
                self.abort()
            return
        path, fields = _read_head(head)
        length = int(fields.get("content-length") or 0)
        if length > MOST_BODY_BYTES:
            self.answer({"error": {"message": "the body is too long"}}, HTTPStatus.BAD_REQUEST)
        elif len(body) >= length:
            request = Request(path, fields.get("authorization", ""), _json(body[:length]))
            self._task = asyncio.ensure_future(self._run(request))

    async def _run(self, request: Request) -> None:
        try:
            await self._handle(request, self)
        except (KeyError, TypeError, ValueError) as error:
            problem = f"{type(error).__name__}: {error}"
            self.answer({"error": {"message": problem}}, HTTPStatus.BAD_REQUEST)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever streams into it."""
        del exc
        self._transport = None
        self.closed()

    def answer(self, content: Any, status: int = 200) -> None:  # noqa: ANN401 - JSON
        """Send a whole answer."""
        body = orjson.dumps(content)
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self._write(head.encode() + body)
        self._end()

    def begin_stream(self) -> None:
        """Send the head of a stream of events."""
        self._write(_STREAM_HEAD)

    def event(self, content: Any) -> None:  # noqa: ANN401 - JSON
        """Send one event, in one write."""
        self.raw_event(orjson.dumps(content))

    def raw_event(self, data: bytes) -> None:
        """Send one event that is JSON, or is to be none."""
        self._write(b"%x\r\ndata: %b\n\n\r\n" % (len(data) + 8, data))

    def end_stream(self) -> None:
        """Send the last event and the end."""
        self.raw_event(b"[DONE]")
        self._write(_END)
        self._end()

    def abort(self) -> None:
        """Break the connection."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def behind(self) -> bool:
        """Whether the reader is too slow to be given more now."""
        transport = self._transport
        return transport is not None and transport.get_write_buffer_size() > MOST_UNREAD_BYTES

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _end(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _nothing() -> None:
    """Stand for `closed` where nobody streams."""


def _read_head(head: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    path = first.split(" ")[1].partition("?")[0]
    pairs = (line.partition(":") for line in lines)
    return path, {name.strip().lower(): value.strip() for name, _, value in pairs}


def _json(body: bytes) -> Any:  # noqa: ANN401
    try:
        return orjson.loads(body) if body else None
    except ValueError:
        return None
