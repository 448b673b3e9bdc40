"""Server-sent events from an engine: the payloads of `data:` lines, as bytes.

A splitter of our own, since a general parser costs 12-18 µs an event at one token an event
(`benchmarks/engine_use.py` shows the whole path); engines send nothing but `data:` and comments.
"""

import math
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractContextManager, aclosing, nullcontext

import anyio
import httpx
import orjson

from server.engine.errors import EngineProtocolError

#: Most bytes of one event. A token with 20 log-probabilities takes about 2 kB.
MAX_EVENT_BYTES = 16 * 1024 * 1024
DONE = b"[DONE]"
_UNBOUNDED = nullcontext()


async def data_lines(
    chunks: AsyncIterator[bytes], silence_s: float = math.inf
) -> AsyncGenerator[bytes, None]:
    """Yield the payload of each `data:` line up to `[DONE]` or the end.

    `silence_s` bounds the time without an event in which other bytes come, as comments that keep a
    connection alive. That nothing comes at all is for `chunks` to bound.

    Raises:
        EngineProtocolError: a line is longer than `MAX_EVENT_BYTES`.
        TimeoutError: bytes came, but no event in time.
        httpx.RemoteProtocolError: the end came in the midst of an event.
    """
    async with aclosing(data_blocks(chunks, silence_s)) as blocks:
        async for lines in blocks:
            for line in lines:
                yield line


async def data_blocks(
    chunks: AsyncIterator[bytes], silence_s: float = math.inf
) -> AsyncGenerator[list[bytes], None]:
    """Yield what `data_lines` does, the lines that came together in one list."""
    events, source = _Events(), aiter(chunks)
    since, quiet = time.monotonic(), False
    while not events.over:
        # A scope takes 8 µs: only where the last bytes were no event, which is rare.
        with _until(since + silence_s) if quiet else _UNBOUNDED:
            chunk = await anext(source, None)
        lines = events.last() if chunk is None else events.feed(chunk)
        quiet = not lines
        if lines:
            yield lines
            since = time.monotonic()
        events.require_bound()


class _Events:
    """Finds the events in bytes that are cut anywhere; `over` after the last one."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._size = 0
        self.over = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the events that these bytes end."""
        head, newline, tail = chunk.rpartition(b"\n")
        lines: list[bytes] = []
        if newline:
            found = [_payload(line) for line in b"".join([*self._rest, head]).split(b"\n")]
            self._rest, self._size = [], 0
            self.over = DONE in found
            lines = [*filter(None, found[: found.index(DONE)] if self.over else found)]
        self._rest.append(tail)
        self._size += len(tail)
        return lines

    def require_bound(self) -> None:
        """Refuse an event that goes on for too long; those before it have been passed on."""
        if not self.over and self._size > MAX_EVENT_BYTES:
            raise EngineProtocolError(
                f"an event of over {MAX_EVENT_BYTES} bytes: engines send one token an event"
            )

    def last(self) -> list[bytes]:
        """Return the event that ends with the stream, without a line's end."""
        self.over = True
        last = _payload(b"".join(self._rest))
        if last in (b"", DONE):
            return []
        try:
            orjson.loads(last)
        except ValueError:
            # Where an answer is framed by the connection's end, a break looks like an end.
            raise httpx.RemoteProtocolError("the stream ended in the midst of an event") from None
        return [last]


def _until(moment: float) -> AbstractContextManager[object]:
    return anyio.fail_after(max(0.0, moment - time.monotonic()))


def _payload(line: bytes) -> bytes:
    return line[5:].strip() if line.startswith(b"data:") else b""
