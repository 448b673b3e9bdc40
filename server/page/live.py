"""What the script of a running solve asks for: its events as they come, and its curves."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import anyio
import anyio.to_thread
import orjson
from fastapi import Request, Response
from sse_starlette import ServerSentEvent

from client.schema import AttemptText
from server.api.event_stream import LINE_END, EventStream
from server.api.following import since
from server.api.told import told
from server.journal.reader import JournalReader
from server.page.curves import curve, label
from server.page.feed import Feed
from server.page.store import scores
from server.solve.service import SolveHandle


def feed(request: Request, handle: SolveHandle | None, after: int) -> Response:
    """Return the events of a solve with ids above `after`; who reads them does not hold it.

    A browser that was cut off says by `Last-Event-ID` where it goes on. 204 makes it stop asking.
    """
    if handle is None:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    last = request.headers.get("last-event-id", "")
    if last.isascii() and last.isdigit() and len(last) < 20:
        after = max(after, int(last))
    threads: anyio.CapacityLimiter = request.app.state.page_readers
    return EventStream(_messages(handle, after, threads))


async def _messages(
    handle: SolveHandle, after: int, threads: anyio.CapacityLimiter
) -> AsyncIterator[ServerSentEvent]:
    made = Feed([event for event in told(handle) if event.id <= after])
    async for event in since(handle, after):
        if isinstance(event, AttemptText):
            message = await anyio.to_thread.run_sync(made.message, event, limiter=threads)
        else:
            message = made.message(event)
        if message is not None:
            yield ServerSentEvent(orjson.dumps(message).decode(), id=str(event.id), sep=LINE_END)


def curves(reader: JournalReader, solve_id: str) -> list[dict[str, Any]]:
    """Return the lines of all attempts of a solve whose tokens the engine told about."""
    told = []
    for attempt in reader.attempts(solve_id, plans=True):
        line = curve(scores(reader, solve_id, attempt.attempt))
        if line is not None:
            told.append(
                {
                    "attempt": attempt.attempt,
                    "points": line.points,
                    "label": label(attempt.attempt, line),
                }
            )
    return told
