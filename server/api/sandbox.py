"""`/v1/sandbox/leases`: kernels for callers of the API, and cells on them (JSON or events)."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any

import anyio
import structlog
from fastapi import APIRouter, Body, Depends, Path, Request, Response
from fastapi.responses import JSONResponse
from sse_starlette import ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from client.schema import (
    CellFailed,
    CellFinished,
    CellOutput,
    CellResult,
    ExecuteRequest,
    InterruptReport,
    Lease,
    LeaseInfo,
    LeaseList,
    LeaseRequest,
    ProblemDetails,
)
from server.api.event_stream import LINE_END, EventStream
from server.api.following import SHUTDOWN_GRACE_S
from server.api.problems import lease_problem
from server.api.wishes import EVENTS, wants_events
from server.leases.cell import LeasedCell
from server.leases.errors import LeaseServiceError
from server.leases.lease import HttpLease
from server.leases.registry import LeaseRegistry

log = structlog.get_logger(__name__)

#: What a request without a body asks for.
ANY_KERNEL = LeaseRequest()
EVENTS_EXAMPLE = (
    'id: 1\nevent: cell.output\ndata: {"type":"cell.output","text":"42\\n"}\n\n'
    'id: 2\nevent: cell.finished\ndata: {"type":"cell.finished","result":{"output":"42\\n",'
    '"status":"ok","interrupt_step":"none","state_lost":false,"seconds":0.003,'
    '"truncated":false,"error_name":null}}\n\n'
)


def refusals(**meanings: str) -> dict[int | str, dict[str, Any]]:
    """Return the description of refusals, by status (`s404`)."""
    return {
        int(status[1:]): {"model": ProblemDetails, "description": meaning}
        for status, meaning in meanings.items()
    }


GONE = refusals(s404="There is no such lease.", s410="The lease has expired.")

router = APIRouter(
    prefix="/v1/sandbox/leases",
    tags=["sandbox"],
    responses=refusals(s422="The request is malformed."),
)
#: In the place of `router` where the settings leave it out.
closed = APIRouter(include_in_schema=False)


@closed.api_route("/v1/sandbox/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
async def refuse(path: str) -> None:
    """Say how to have the routes."""
    del path
    raise HTTPException(
        HTTPStatus.NOT_FOUND,
        "the sandbox is not served over HTTP here: start the server with --sandbox-http, or set "
        "QUORUM_SANDBOX_HTTP=true",
    )


async def registry(request: Request) -> LeaseRegistry:
    """Return the leases that the lifespan opened."""
    found: LeaseRegistry = request.state.leases
    return found


Registry = Annotated[LeaseRegistry, Depends(registry)]
LeaseId = Annotated[str, Path(description="The id that the lease was given with.")]


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    response_model=Lease,
    responses=refusals(
        s429="Too many wait for a kernel already.",
        s503="No kernel came within `wait_s`, or the server is being shut down.",
    ),
)
async def take(
    request: Request, leases: Registry, body: Annotated[LeaseRequest, Body()] = ANY_KERNEL
) -> Response:
    """Take a kernel, in order of arrival.

    It is fresh, and the caller's alone until it is given back or expires for want of heartbeats;
    a running cell counts as one. Going away while waiting gives the place up.
    """
    lease = leases.apply(body)
    try:
        async with _watching(request, gone=lease.abandon):
            await lease.settled()
    except BaseException:
        lease.abandon()
        raise
    report = _report(lease)
    return JSONResponse(
        report.model_dump(mode="json"),
        status_code=HTTPStatus.CREATED,
        headers={"Location": f"{router.prefix}/{report.lease_id}"},
    )


@router.get("")
async def listing(leases: Registry) -> LeaseList:
    """List the leases, without their ids."""
    return LeaseList(
        leases=[LeaseInfo(**_values(lease)) for lease in leases.held()],
        waiting=leases.waiting,
        kernels=leases.kernels,
    )


@router.get("/{lease_id}", responses=GONE)
async def show(lease_id: LeaseId, leases: Registry) -> Lease:
    """Show a lease; no heartbeat."""
    return _report(leases.get(lease_id))


@router.delete("/{lease_id}", status_code=HTTPStatus.NO_CONTENT, responses=GONE)
async def give_back(lease_id: LeaseId, leases: Registry) -> Response:
    """Give a kernel back; a cell that runs is killed with it."""
    leases.release(lease_id)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.post("/{lease_id}/heartbeat", responses=GONE)
async def heartbeat(lease_id: LeaseId, leases: Registry) -> Lease:
    """Keep a lease for another `ttl_s` seconds."""
    lease = leases.get(lease_id)
    lease.heartbeat()
    return _report(lease)


@router.post("/{lease_id}/interrupt", responses=GONE)
async def interrupt(lease_id: LeaseId, leases: Registry) -> InterruptReport:
    """Interrupt the running cell, whose caller then gets its result; a heartbeat."""
    lease = leases.get(lease_id)
    lease.heartbeat()
    return InterruptReport(interrupted=lease.interrupt())


@router.post(
    "/{lease_id}/execute",
    response_model=CellResult,
    responses={
        **GONE,
        **refusals(
            s409="A cell of the lease still runs.",
            s503="The kernel was lost, and no other can be started.",
        ),
        200: {
            "content": {EVENTS: {"example": EVENTS_EXAMPLE}},
            "description": "The result.",
        },
    },
)
async def execute(
    lease_id: LeaseId, body: ExecuteRequest, request: Request, leases: Registry
) -> Response:
    """Run a cell.

    With `Accept: text/event-stream` its output is sent as it comes, and the last event has its
    result; otherwise the result, once it is there. The caller's going away interrupts the cell.
    """
    streamed = wants_events(request)
    cell = leases.get(lease_id).execute(body.code, body.timeout_s, watched=streamed)
    if streamed:
        return CellStream(cell)
    try:
        async with _watching(request, gone=cell.interrupt):
            await cell.wait()
    finally:
        cell.interrupt()
    return JSONResponse(_result(cell).model_dump(mode="json"))


class CellStream(EventStream):
    """The output of a cell and its end; however the response ends, so does the cell."""

    def __init__(self, cell: LeasedCell) -> None:
        super().__init__(_events(cell), grace_s=SHUTDOWN_GRACE_S)
        self._cell = cell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the last event, or until the client goes away."""
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            log.warning("stream.not_read")
        finally:
            self._cell.interrupt()


async def _events(cell: LeasedCell) -> AsyncIterator[ServerSentEvent]:
    number = 0
    async for text in cell.follow():
        number += 1
        yield _sse(number, CellOutput(text=text))
    yield _sse(number + 1, _last_event(cell))


def _sse(number: int, event: CellOutput | CellFinished | CellFailed) -> ServerSentEvent:
    data = event.model_dump_json(exclude_none=isinstance(event, CellFailed))
    return ServerSentEvent(data, event=event.type, id=str(number), sep=LINE_END)


def _last_event(cell: LeasedCell) -> CellFinished | CellFailed:
    try:
        return CellFinished(result=_result(cell))
    except LeaseServiceError as error:
        return CellFailed(problem=lease_problem(error))


def _result(cell: LeasedCell) -> CellResult:
    """Return a cell's result as the wire has it; raises what it has failed by."""
    return CellResult.model_validate(asdict(cell.result()))


def _report(lease: HttpLease) -> Lease:
    if not lease.is_held:
        raise lease.ending
    return Lease(lease_id=lease.lease_id, **_values(lease))


def _values(lease: HttpLease) -> dict[str, Any]:
    expires_in_s = lease.expires_in_s
    return {
        "owner": lease.request.owner,
        "seed": lease.request.seed,
        "ttl_s": lease.request.ttl_s,
        "age_s": round(anyio.current_time() - lease.granted_at, 3),
        "waited_s": round(lease.granted_at - lease.asked_at, 3),
        "expires_in_s": None if expires_in_s is None else round(expires_in_s, 3),
        "busy": lease.is_busy,
        "cells": lease.cells,
    }


@asynccontextmanager
async def _watching(request: Request, gone: Callable[[], None]) -> AsyncIterator[None]:
    """Call `gone` if the client disconnects during the block, which must not raise."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        gone()

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        yield
        group.cancel_scope.cancel()
