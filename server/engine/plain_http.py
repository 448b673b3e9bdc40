"""HTTP/1.1 to servers on this machine or in its own network, for httpx: one request a connection.

An engine writes each token as an event of its own, and uvicorn each event as a chunk of its own. A
general client takes 12-18 µs for each; this one takes what has come as one block, and finds the
chunks in it (`benchmarks/gateway_overhead.py` measures it). Connections are never kept, and TLS is
left to httpx's own transport.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator

import anyio
import httpx

#: Bytes that are read at once, and that may wait unread.
BLOCK_BYTES = 256 * 1024
MOST_HEAD_BYTES = 64 * 1024
_NO_BODY = frozenset({204, 304})
_HEAD_END = b"\r\n\r\n"


class PlainTransport(httpx.AsyncBaseTransport):
    """Sends requests to `http://` addresses."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; the answer's body is read as it comes.

        Raises:
            httpx.ConnectError, httpx.ConnectTimeout: nobody answers.
            httpx.WriteTimeout: of the request nothing is taken for as long as an answer may take.
            httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError: of the answer.
        """
        timeout = request.extensions.get("timeout", {})
        connection = await _connect(request.url, timeout.get("connect"), timeout.get("read"))
        try:
            await connection.send(_written(request, await request.aread()))
            return await connection.answer()
        except BaseException:
            connection.close()
            raise


def _written(request: httpx.Request, body: bytes) -> bytes:
    lines = [f"{request.method} {request.url.raw_path.decode()} HTTP/1.1".encode()]
    lines += [b"%b: %b" % (name, value) for name, value in request.headers.raw]
    return b"\r\n".join([*lines, b"", body])


async def _connect(url: httpx.URL, connect_s: float | None, read_s: float | None) -> "_Connection":
    try:
        with anyio.fail_after(connect_s):
            reader, writer = await asyncio.open_connection(
                url.host, url.port or 80, limit=BLOCK_BYTES
            )
    except TimeoutError:
        raise httpx.ConnectTimeout(f"no connection within {connect_s} s") from None
    except OSError as error:
        raise httpx.ConnectError(str(error)) from error
    return _Connection(reader, writer, read_s)


class _Connection:
    """One request's connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, read_s: float | None
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._read_s = read_s

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        try:
            with anyio.fail_after(self._read_s):
                await self._writer.drain()
        except TimeoutError:
            raise httpx.WriteTimeout(f"nothing was taken for {self._read_s} s") from None
        except OSError:
            pass  # what the server says before it breaks the connection is read

    async def answer(self) -> httpx.Response:
        """Read the head of the answer."""
        status, headers, rest = 100, httpx.Headers(), b""
        while 100 <= status < 200:
            while _HEAD_END not in rest:
                if len(rest) > MOST_HEAD_BYTES:
                    raise httpx.RemoteProtocolError("the head of the answer is too long")
                rest += await self.read()
            head, _, rest = rest.partition(_HEAD_END)
            status, headers = _read_head(head)
        return httpx.Response(status, headers=headers, stream=_Body(self, status, headers, rest))

    async def read(self) -> bytes:
        """Return what has come, at least a byte."""
        data = await self.read_or_end()
        if not data:
            raise httpx.RemoteProtocolError("the server closed the connection in mid-answer")
        return data

    async def read_or_end(self) -> bytes:
        """Return what has come; nothing where the server closed the connection."""
        try:
            with anyio.fail_after(self._read_s):
                return await self._reader.read(BLOCK_BYTES)
        except TimeoutError:
            raise httpx.ReadTimeout(f"nothing came for {self._read_s} s") from None
        except OSError as error:
            raise httpx.ReadError(str(error)) from error

    def close(self) -> None:
        """Close at once: a server sees that its answer is not wanted any more."""
        self._writer.transport.abort()


def _read_head(head: bytes) -> tuple[int, httpx.Headers]:
    first, *lines = head.split(b"\r\n")
    version, _, rest = first.partition(b" ")
    status = rest[:3]
    if not version.startswith(b"HTTP/1.") or not status.isdigit():
        raise httpx.RemoteProtocolError(f"no answer in HTTP/1.1: {first[:100]!r}")
    pairs = [line.partition(b":") for line in lines]
    return int(status), httpx.Headers([(name.strip(), value.strip()) for name, _, value in pairs])


class _Body(httpx.AsyncByteStream):
    """An answer's body, as its head says that it is written."""

    def __init__(
        self, connection: _Connection, status: int, headers: httpx.Headers, begun: bytes
    ) -> None:
        self._connection = connection
        self._status, self._headers, self._begun = status, headers, begun

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._status in _NO_BODY:
            return
        if "chunked" in self._headers.get("transfer-encoding", "").lower():
            parts = self._chunked()
        elif "content-length" in self._headers:
            parts = self._sized(_length(self._headers["content-length"]))
        else:
            parts = self._to_the_end()
        async for part in parts:
            if part:
                yield part

    async def aclose(self) -> None:
        self._connection.close()

    async def _to_the_end(self) -> AsyncIterator[bytes]:
        data = self._begun
        while True:
            yield data
            data = await self._connection.read_or_end()
            if not data:
                return

    async def _sized(self, length: int) -> AsyncIterator[bytes]:
        data = self._begun
        while True:
            yield data[:length]
            length -= len(data)
            if length <= 0:
                return
            data = await self._connection.read()

    async def _chunked(self) -> AsyncIterator[bytes]:
        chunks, data = _Chunks(), self._begun
        while True:
            yield b"".join(chunks.feed(data))
            if chunks.over:
                return
            data = await self._connection.read()


class _Chunks:
    """Finds the chunks of a body in blocks that are cut anywhere; `over` after the last."""

    def __init__(self) -> None:
        self._rest = b""
        self._missing = 0
        self.over = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the content that a block brings."""
        data, place = self._rest + data, 0
        while not self.over:
            if self._missing:
                part = data[place : place + self._missing]
                yield part
                place += len(part)
                self._missing -= len(part)
                if self._missing:
                    break
            # A chunk ends with a line end, and the next begins with its size on a line.
            start = place + 2 if data.startswith(b"\r\n", place) else place
            end = data.find(b"\r\n", start)
            if end < 0:
                break
            self._missing = _length(data[start:end].partition(b";")[0], 16)
            self.over = not self._missing
            place = end + 2
        self._rest = b"" if self._missing else data[place:]
        if len(self._rest) > MOST_HEAD_BYTES:
            raise httpx.RemoteProtocolError("the size of a chunk is too long")


def _length(written: str | bytes, base: int = 10) -> int:
    try:
        return int(written, base)
    except ValueError:
        raise httpx.RemoteProtocolError(f"no length: {written[:40]!r}") from None
