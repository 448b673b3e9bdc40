"""`/v1/solves`: create a solve (JSON or events), cancel one."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated

import anyio
import structlog
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from client.schema import ProblemDetails, SolveRequest, SolveResult
from server.errors import NoEngineError
from server.solve.service import SolveHandle, SolveService

#: Comments on an idle stream, so that both ends notice a dead connection.
PING_S = 15
#: A reader that does not read for this long is disconnected, which cancels its solve.
SEND_TIMEOUT_S = 60.0
#: A shutdown cancels the solves, so that streams end by themselves with their results; this only
#: keeps them from being cut before that. uvicorn bounds the wait by `gateway.shutdown_s`.
SHUTDOWN_GRACE_S = 300.0
EVENTS = "text/event-stream"
LINE_END = "\n"

log = structlog.get_logger(__name__)
MALFORMED = {"model": ProblemDetails, "description": "The request is malformed."}
router = APIRouter(prefix="/v1/solves", tags=["solves"], responses={422: MALFORMED})


def service(request: Request) -> SolveService:
    """Return the service that the lifespan opened."""
    found: SolveService | None = request.state.service
    if found is None:
        raise NoEngineError(
            "this server has no engine (engine.kind is none) and serves the sandbox alone: start "
            "one without --no-engine to solve problems"
        )
    return found


Service = Annotated[SolveService, Depends(service)]
REFUSALS: dict[int | str, dict[str, object]] = {
    429: {"model": ProblemDetails, "description": "Too many solves wait already."},
    503: {"model": ProblemDetails, "description": "The server is being shut down."},
}


@router.post(
    "",
    response_model=SolveResult,
    responses={
        **REFUSALS,
        200: {"content": {EVENTS: {"schema": {"type": "string"}}}, "description": "The result."},
    },
)
async def create(body: SolveRequest, request: Request, solves: Service) -> Response:
    """Solve a problem.

    With `Accept: text/event-stream` every event is sent as it happens, the last one
    `solve.finished`; otherwise the result, once it is there. The caller's going away cancels the
    solve.
    """
    handle = solves.submit(body)
    if EVENTS in request.headers.get("accept", ""):
        return EventStream(handle)
    result = await _result_or_gone(handle, request)
    return JSONResponse(result.model_dump(mode="json"))


@router.delete(
    "/{solve_id}",
    status_code=HTTPStatus.NO_CONTENT,
    responses={404: {"model": ProblemDetails, "description": "No such solve runs or waits."}},
)
async def cancel(solve_id: str, solves: Service) -> Response:
    """Cancel a solve that runs or waits; its followers get its result."""
    handle = solves.get(solve_id)
    if handle is None:
        raise HTTPException(
            HTTPStatus.NOT_FOUND, f"solve {solve_id[:80]!r}: none of that id runs or waits"
        )
    handle.cancel()
    return Response(status_code=HTTPStatus.NO_CONTENT)


class EventStream(EventSourceResponse):
    """The events of a solve; however the response ends, so does the solve."""

    def __init__(self, handle: SolveHandle) -> None:
        super().__init__(
            _events(handle),
            ping=PING_S,
            send_timeout=SEND_TIMEOUT_S,
            shutdown_grace_period=SHUTDOWN_GRACE_S,
            sep=LINE_END,
        )
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the last event, or until the client goes away."""
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            log.warning("stream.not_read", solve_id=self._handle.solve_id)
        finally:
            self._handle.cancel()


async def _events(handle: SolveHandle) -> AsyncIterator[ServerSentEvent]:
    async for event in handle.events.follow():
        data = event.model_dump_json()
        yield ServerSentEvent(data, event=event.type, id=str(event.id), sep=LINE_END)


async def _result_or_gone(handle: SolveHandle, request: Request) -> SolveResult:
    """Return the result, and cancel the solve when the client disconnects first."""

    async def cancel_when_gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        handle.cancel()

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(cancel_when_gone)
            result = await handle.result()
            group.cancel_scope.cancel()
    finally:
        handle.cancel()
    return result
