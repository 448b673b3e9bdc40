"""Server-sent events from an engine: the payloads of `data:` lines, as bytes.

A splitter of our own, since a general parser costs 12-18 µs an event at one token an event
(`benchmarks/engine_use.py` shows the whole path); engines send nothing but `data:` and comments.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from server.engine.errors import EngineProtocolError

#: Most bytes of one event. A token with 20 log-probabilities takes about 2 kB.
MAX_EVENT_BYTES = 16 * 1024 * 1024
DONE = b"[DONE]"


async def data_lines(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the payload of each `data:` line up to `[DONE]` or the end.

    Raises:
        EngineProtocolError: a line is longer than `MAX_EVENT_BYTES`.
    """
    async with aclosing(data_blocks(chunks)) as blocks:
        async for lines in blocks:
            for line in lines:
                yield line


async def data_blocks(chunks: AsyncIterator[bytes]) -> AsyncGenerator[list[bytes], None]:
    """Yield what `data_lines` does, the lines that came together in one list."""
    rest: list[bytes] = []
    size = 0
    async for chunk in chunks:
        head, newline, tail = chunk.rpartition(b"\n")
        if newline:
            found = [_payload(line) for line in b"".join([*rest, head]).split(b"\n")]
            rest, size = [], 0
            done = DONE in found
            lines = [*filter(None, found[: found.index(DONE)] if done else found)]
            if lines:
                yield lines
            if done:
                return
        rest.append(tail)
        size += len(tail)
        if size > MAX_EVENT_BYTES:
            raise EngineProtocolError(
                f"an event of over {MAX_EVENT_BYTES} bytes: engines send one token an event"
            )
    last = _payload(b"".join(rest))
    if last not in (b"", DONE):
        yield [last]


def _payload(line: bytes) -> bytes:
    return line[5:].strip() if line.startswith(b"data:") else b""
