"""How a child process tells where it listens: one line of JSON on standard output."""

import anyio
import orjson

from server.engine.errors import EngineProtocolError
from server.engine.supervisor import Child, ChildDied


async def read_address(child: Child) -> str:
    """Read the line that the child writes once it listens.

    Raises:
        ChildDied: it ended before that.
        EngineProtocolError: the line says something else.
    """
    line = b""
    while not line.endswith(b"\n"):
        try:
            if child.process.stdout is None:
                raise anyio.EndOfStream
            line += await child.process.stdout.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            raise ChildDied(await child.death()) from None
    try:
        return str(orjson.loads(line)["url"])
    except (ValueError, KeyError, TypeError):
        raise EngineProtocolError(f"its first line is not its address: {line[:200]!r}") from None
