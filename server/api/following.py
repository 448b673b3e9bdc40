"""Events of a solve as a stream: as they happen, from the journal, or from both."""

from collections.abc import AsyncIterator
from http import HTTPStatus

import structlog
from fastapi import Response
from sse_starlette import ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from client.schema import AttemptSegment, Event, SolveDetail
from server.api.event_stream import LINE_END, EventStream
from server.api.history import History
from server.api.told import before
from server.api.unwritten import Known
from server.journal.errors import JournalUnreadable, NotWrittenYet
from server.solve.service import SolveHandle

#: A shutdown cancels the solves, so that streams end by themselves with their results; this only
#: keeps them from being cut before that. uvicorn bounds the wait by `gateway.shutdown_s`.
SHUTDOWN_GRACE_S = 300.0

log = structlog.get_logger(__name__)


async def recorded_solve(solve_id: str, recorded: History) -> SolveDetail:
    """Return a solve of the journal; raises HTTPException (404) where there is none of that id."""
    found = await recorded.solve(solve_id)
    if found is None:
        where = "in the journal" if recorded.kept else "at hand, and no journal to read"
        raise HTTPException(
            HTTPStatus.NOT_FOUND,
            f"solve {solve_id[:80]!r}: there is none of that id {where}; GET /v1/solves lists them",
        )
    return found


async def followed(
    solve_id: str, after: int, tokens: bool, solves: Known, recorded: History
) -> Response:
    """Return the events of a solve above `after`: as they happen, or from the journal.

    With `tokens`, token ids too where it has ended; while it runs, what it was asked to tell.

    Raises:
        NotWrittenYet: it has ended, and its events are on their way to the journal.
        HTTPException: (404) there is no such solve.
    """
    handle = solves.get(solve_id)
    if handle is not None and not solves.unwritten.has_events(solve_id):
        raise NotWrittenYet(solve_id)
    if handle is not None and not (tokens and await _is_written(handle, recorded)):
        if handle.events.finished is not None and after >= handle.events.finished.id:
            return Response(status_code=HTTPStatus.NO_CONTENT)
        return SolveStream(told(since(handle, after)))
    await recorded_solve(solve_id, recorded)
    events = _shown(recorded.events(solve_id, after), tokens)
    first = await anext(events, None)
    if first is None:
        # What tells a browser's EventSource not to come again.
        return Response(status_code=HTTPStatus.NO_CONTENT)
    return SolveStream(told(_rejoined(first, events)))


async def _is_written(handle: SolveHandle, recorded: History) -> bool:
    """Whether a solve that is known still has ended, and is in the journal to its end."""
    if handle.events.finished is None:
        return False
    try:
        return await recorded.is_whole(handle.solve_id)
    except JournalUnreadable:
        return False


async def since(handle: SolveHandle, after: int = 0) -> AsyncIterator[Event]:
    """Yield the events of a solve that runs or waits above `after`, then each as it happens.

    What a dead server told of one that is gone on with comes first, before its turn has come too.
    """
    for event in before(handle, after):
        after = event.id
        yield event
    async for event in handle.events.follow(after):
        yield event


async def _shown(events: AsyncIterator[Event], tokens: bool) -> AsyncIterator[Event]:
    async for event in events:
        if tokens or not isinstance(event, AttemptSegment):
            yield event


async def _rejoined(first: Event, rest: AsyncIterator[Event]) -> AsyncIterator[Event]:
    yield first
    async for event in rest:
        yield event


class SolveStream(EventStream):
    """Events; however the response ends, so does the solve that it `owns`, if any."""

    def __init__(
        self, events: AsyncIterator[ServerSentEvent], owns: SolveHandle | None = None
    ) -> None:
        super().__init__(events, grace_s=SHUTDOWN_GRACE_S)
        self._owns = owns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the last event, or until the client goes away."""
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            log.warning("stream.not_read", path=scope["path"])
        finally:
            if self._owns is not None:
                self._owns.leave()


async def told(events: AsyncIterator[Event]) -> AsyncIterator[ServerSentEvent]:
    """Yield events as they are sent."""
    async for event in events:
        data = event.model_dump_json()
        yield ServerSentEvent(data, event=event.type, id=str(event.id), sep=LINE_END)
