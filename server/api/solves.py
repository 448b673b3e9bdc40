"""`/v1/solves`: create a solve (JSON or events), list, look at, follow, cancel, choose again."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.exceptions import HTTPException

from client.schema import (
    MAX_PAGE,
    ProblemDetails,
    SelectReport,
    SelectRequest,
    SolveDetail,
    SolveEnd,
    SolveInfo,
    SolveList,
    SolveRequest,
    SolveResult,
    SolveState,
)
from server.api.following import SolveStream, followed, recorded_solve, since, told
from server.api.gone import unless_gone
from server.api.history import History
from server.api.listing import Cursor, live_info, matches, merged, seconds_of
from server.api.runs import submit
from server.api.services import NO_ENGINE, Services
from server.api.unwritten import Known
from server.api.wishes import EVENTS, prefers, wants_events
from server.errors import NoEngineError
from server.journal.reader import SolveFilter
from server.solve.service import SolveHandle, SolveService

#: `Prefer` of a caller that does not wait for the result (RFC 7240).
ASYNC = "respond-async"
#: Ids of events stay under what JavaScript counts exactly.
MAX_EVENT_ID = 2**53

log = structlog.get_logger(__name__)
MALFORMED = {"model": ProblemDetails, "description": "The request is malformed."}
router = APIRouter(prefix="/v1/solves", tags=["solves"], responses={422: MALFORMED})


async def service(request: Request) -> SolveService:
    """Return the service that the lifespan opened."""
    found: SolveService | None = request.state.service
    if found is None:
        raise NoEngineError(NO_ENGINE)
    return found


async def history(request: Request) -> History:
    """Return the journal's reader that the lifespan opened."""
    services: Services = request.state.services
    return services.history


async def known(request: Request) -> Known:
    """Return the solves that the server has in memory."""
    services: Services = request.state.services
    return Known(await service(request), services.unwritten)


Service = Annotated[SolveService, Depends(service)]
InMemory = Annotated[Known, Depends(known)]
Recorded = Annotated[History, Depends(history)]
LastEventId = Annotated[
    Annotated[int, Field(ge=0, le=MAX_EVENT_ID)] | None,
    # An empty one is what a stream without ids leaves behind: the events from the first one.
    BeforeValidator(lambda given: None if given == "" else given),
    Header(description="Go on after this event."),
]
SolveId = Annotated[str, Path(max_length=100, description="The solve's name.")]
REFUSALS: dict[int | str, dict[str, Any]] = {
    429: {"model": ProblemDetails, "description": "Too many solves wait already."},
    503: {"model": ProblemDetails, "description": "The server is being shut down."},
}
UNKNOWN: dict[int | str, dict[str, Any]] = {
    404: {"model": ProblemDetails, "description": "There is no such solve."},
    503: {
        "model": ProblemDetails,
        "description": "No engine, a journal that cannot be read, or one that is behind: it has "
        "ended, and is neither in memory any more nor on the disk yet.",
    },
}
EVENTS_EXAMPLE = (
    'id: 7\nevent: attempt.text\ndata: {"id":7,"solve_id":"solve-5b0c7d1f2a3e","at":1.5,'
    '"attempt":0,"type":"attempt.text","turn":1,"channel":"thinking","text":"Let","sampled":1}\n\n'
)
STREAMED: dict[str, Any] = {"content": {EVENTS: {"example": EVENTS_EXAMPLE}}}


@router.post(
    "",
    response_model=SolveResult,
    responses={
        **REFUSALS,
        200: {**STREAMED, "description": "The result."},
        202: {"model": SolveDetail, "description": "It is solved without this caller."},
        404: {"model": ProblemDetails, "description": "There is no run of that id."},
        409: {"model": ProblemDetails, "description": "The run takes no more problems."},
    },
)
async def create(
    body: SolveRequest,
    request: Request,
    solves: Service,
    _prefer: Annotated[
        str,
        # Read by `prefers`, since it may come in several lines.
        Header(
            alias="prefer", max_length=200, description=f"`{ASYNC}`: do not wait for the result."
        ),
    ] = "",
) -> Response:
    """Solve a problem.

    With `Accept: text/event-stream` every event is sent as it happens, the last one
    `solve.finished`; otherwise the result, once it is there. The caller's going away cancels the
    solve, unless it said `Prefer: respond-async`: then it gets 202 and the solve's name at once.
    """
    handle = await submit(request, solves, body)
    if prefers(request, ASYNC):
        where = f"{router.prefix}/{handle.solve_id}"
        return JSONResponse(
            live_detail(handle).model_dump(mode="json"),
            status_code=HTTPStatus.ACCEPTED,
            headers={"Location": where, "Preference-Applied": ASYNC},
        )
    if wants_events(request):
        return SolveStream(told(since(handle)), handle)
    result = await result_or_gone(handle, request)
    return Response() if result is None else JSONResponse(result.model_dump(mode="json"))


def _time_text(given: object) -> object:
    """Pass on a time; pydantic would take a number for seconds, or milliseconds, since 1970."""
    if isinstance(given, str):
        try:
            float(given)
        except ValueError:
            return given
    raise ValueError("must be a time in ISO 8601, such as 2026-03-01T12:00:00Z")


Moment = Annotated[datetime, BeforeValidator(_time_text)]


class ListQuery(BaseModel):
    """Which solves to list, as a caller asks."""

    model_config = ConfigDict(frozen=True)

    limit: int = Field(50, ge=1, le=MAX_PAGE, description="Most solves of the page.")
    after: str | None = Field(None, max_length=200, description="`next` of the page before.")
    state: SolveState | None = Field(None, description="Where they are.")
    run: str | None = Field(None, max_length=100, description="The run they belong to.")
    problem_id: str | None = Field(
        None, max_length=300, description="The caller's name for the problem."
    )
    answer: str | None = Field(None, max_length=1_000, description="The answer.")
    end: SolveEnd | None = Field(None, description="Why they ended.")
    text: str | None = Field(
        None, max_length=1_000, description="Words of the problem, in any case."
    )
    since: Moment | None = Field(None, description="Created at this time or later.")
    until: Moment | None = Field(None, description="Created before this time.")


@router.get("", response_model=SolveList, responses={503: UNKNOWN[503]})
async def show_list(
    asked: Annotated[ListQuery, Query()], solves: InMemory, recorded: Recorded
) -> Response:
    """List solves, the newest first: those that run, and those of the journal."""
    cursor = Cursor.read(asked.after)
    handles = solves.list()
    running = {handle.solve_id: live_info(handle) for handle in handles}
    found: list[tuple[Cursor, SolveInfo]] = []
    if cursor is None or not recorded.kept:
        found = [(Cursor.of(handle), running[handle.solve_id]) for handle in handles]
        found = [one for one in found if matches(one[1], asked) and (not cursor or one[0] < cursor)]
    wanted = SolveFilter(
        since=seconds_of(asked.since) if asked.since else None,
        until=seconds_of(asked.until) if asked.until else None,
        run=asked.run,
        problem_id=asked.problem_id,
        answer=asked.answer,
        outcome=asked.end.value if asked.end else None,
        text=asked.text,
        finished=None if asked.state is None else asked.state is SolveState.FINISHED,
        before=cursor.place if cursor else None,
        limit=asked.limit + 1,
    )
    stored = await recorded.page(wanted)
    # Those in memory as they are now.
    stored = [(place, running.get(info.solve_id, info)) for place, info in stored]
    return wire(merged(found, stored, asked))


@router.get(
    "/{solve_id}",
    response_model=SolveDetail,
    responses={
        **UNKNOWN,
        200: {**STREAMED},
        204: {"description": "There are no more events and will be none."},
    },
)
async def show(
    solve_id: SolveId,
    request: Request,
    solves: InMemory,
    recorded: Recorded,
    last_event_id: LastEventId = None,
) -> Response:
    """Show a solve, with its result once it has ended.

    With `Accept: text/event-stream` its events are sent, as from `/v1/solves/{solve_id}/events`.
    """
    if wants_events(request):
        return await followed(solve_id, last_event_id or 0, False, solves, recorded)
    handle = solves.get(solve_id)
    return wire(live_detail(handle) if handle else await recorded_solve(solve_id, recorded))


@router.get(
    "/{solve_id}/events",
    response_class=Response,
    responses={
        **UNKNOWN,
        200: {**STREAMED, "description": "The events."},
        204: {"description": "There are no more events and will be none."},
    },
)
async def follow(
    solve_id: SolveId,
    solves: InMemory,
    recorded: Recorded,
    last_event_id: LastEventId = None,
    after: Annotated[
        int, Query(ge=0, le=MAX_EVENT_ID, description="The same, where no header can be sent.")
    ] = 0,
    tokens: Annotated[
        bool, Query(description="Also token ids; of a solve that runs, if it was asked for them.")
    ] = False,
) -> Response:
    """Follow a solve: its events so far, then each as it happens, the last one `solve.finished`.

    A stream that breaks is taken up with `Last-Event-ID`. Going away does not cancel the solve.
    """
    position = after if last_event_id is None else last_event_id
    return await followed(solve_id, position, tokens, solves, recorded)


@router.delete(
    "/{solve_id}",
    status_code=HTTPStatus.NO_CONTENT,
    response_class=Response,
    responses={404: {"model": ProblemDetails, "description": "No such solve runs or waits."}},
)
async def cancel(solve_id: SolveId, solves: Service) -> Response:
    """Cancel a solve that runs or waits; its followers get its result."""
    handle = solves.get(solve_id)
    if handle is None:
        raise HTTPException(
            HTTPStatus.NOT_FOUND, f"solve {solve_id[:80]!r}: none of that id runs or waits"
        )
    handle.cancel()
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.post(
    "/{solve_id}/select",
    response_model=SelectReport,
    responses={
        **UNKNOWN,
        409: {"model": ProblemDetails, "description": "The solve has not ended."},
        429: {"model": ProblemDetails, "description": "Another selection is being made."},
    },
)
async def select(
    solve_id: SolveId, body: SelectRequest, request: Request, solves: Service, recorded: Recorded
) -> Response:
    """Choose again among the attempts of a solve that has ended, by another selector.

    Selectors that ask the model or run programs do so now. The solve's own result stays.
    """
    if solves.get(solve_id) is not None:
        raise HTTPException(
            HTTPStatus.CONFLICT, f"solve {solve_id[:80]!r}: has not ended; wait, or cancel it"
        )
    await recorded_solve(solve_id, recorded)
    events = [event async for event in recorded.events(solve_id)]
    services: Services = request.state.services
    reselector = services.selecting()
    report = await unless_gone(request, lambda: reselector.select(solve_id, events, body))
    return Response() if report is None else JSONResponse(report.model_dump(mode="json"))


def live_detail(handle: SolveHandle) -> SolveDetail:
    """Return what is known of a solve that has not ended, or has in this moment."""
    finished = handle.events.finished
    result = finished.result if finished else None
    return SolveDetail(**dict(live_info(handle)), result=result)


def wire(body: BaseModel) -> Response:
    """Return an answer; twice as fast as by way of Python's own objects."""
    return Response(body.model_dump_json(), media_type="application/json")


async def result_or_gone(handle: SolveHandle, request: Request) -> SolveResult | None:
    """Return the result; None: the client has gone, and so has the solve, unless it is durable."""
    try:
        return await unless_gone(request, handle.result)
    finally:
        handle.leave()
