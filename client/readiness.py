"""Waiting until a server can solve, and saying what it waits for."""

from collections.abc import Callable

import anyio

from client.errors import ServerBroken, ServerTimeout, ServerUnavailable, TransportError
from client.http import AsyncQuorumClient
from client.schema import PART_FAILED, Readiness

#: Seconds until a server must be ready. An engine for a GPU takes 123-130 s to load a model of
#: 65 GB; the embedded one takes 4 s.
READY_TIMEOUT_S = 180.0
#: Seconds between two questions: short against loading a model, long against answering.
ASK_EVERY_S = 0.25


def waiting_for(readiness: Readiness) -> str:
    """Say which parts are not ready, and why: "engine: loading (12 s)"."""
    parts = (("engine", readiness.engine), ("sandbox", readiness.sandbox))
    missing = [
        f"{name}: {part.state}" + (f" ({part.detail})" if part.detail else "")
        for name, part in parts
        if not part.ready
    ]
    return "; ".join(missing) or "the server"


async def wait_ready(
    client: AsyncQuorumClient,
    observe: Callable[[str], None],
    timeout_s: float = READY_TIMEOUT_S,
) -> Readiness:
    """Ask until the server is ready; `observe` hears what it waits for, each time.

    Raises `ServerTimeout` after `timeout_s`, and `ServerBroken` at once when a part has failed. A
    server that is not reachable for a moment, or says no without details, is asked again: it may
    be just starting.
    """
    waiting = "its first answer"
    with anyio.move_on_after(timeout_s):
        while True:
            try:
                readiness = await client.ready()
            except (TransportError, ServerUnavailable) as error:
                waiting = str(error)
            else:
                if readiness.ready:
                    return readiness
                waiting = waiting_for(readiness)
                if PART_FAILED in (readiness.engine.state, readiness.sandbox.state):
                    raise ServerBroken(f"the server at {client.url} cannot work: {waiting}")
            observe(waiting)
            await anyio.sleep(ASK_EVERY_S)
    raise ServerTimeout(
        f"the server at {client.url} was not ready after {timeout_s:g} s, waiting for {waiting}: "
        "see its log, or wait longer with --ready-timeout"
    )
