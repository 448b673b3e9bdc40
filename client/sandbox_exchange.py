"""What the clients of the sandbox say and understand, without I/O."""

from urllib.parse import quote

import httpx
from httpx_sse import ServerSentEvent
from pydantic import ValidationError

from client import exchange
from client.errors import (
    InvalidResponse,
    LeaseBusy,
    LeaseExpired,
    LeaseNotFound,
    Refusals,
    SandboxBusy,
    SandboxOff,
    SandboxUnavailable,
    UsageError,
    error_for,
)
from client.exchange import Call, as_it_is, body_of, reader
from client.schema import (
    CELL_EVENT_ADAPTER,
    MAX_CELL_TIMEOUT_S,
    CellFailed,
    CellFinished,
    CellOutput,
    CellResult,
    ExecuteRequest,
    InterruptReport,
    Lease,
    LeaseList,
    LeaseRequest,
)

LEASES = "/v1/sandbox/leases"

#: Seconds that an answer may outlast the time asked for: a kernel that was lost is replaced first,
#: which takes at most 60 s, and a cell is stopped in steps of a second.
MARGIN_S = 90.0
#: Heartbeats in the time that a lease lasts without one: two may be lost.
BEATS_PER_TTL = 3

_ON_POOL: Refusals = {404: SandboxOff, 429: SandboxBusy, 503: SandboxUnavailable}
_ON_LEASE: Refusals = {
    404: LeaseNotFound,
    409: LeaseBusy,
    410: LeaseExpired,
    503: SandboxUnavailable,
}


def lease_call(request: LeaseRequest) -> Call[Lease]:
    """Take a kernel, or wait for one."""
    return Call(
        "POST",
        LEASES,
        reader(Lease),
        read_timeout_s=request.wait_s + MARGIN_S,
        body=body_of(request),
        statuses=(201,),
        refusals=_ON_POOL,
    )


def leases_call() -> Call[LeaseList]:
    """Ask who has kernels, and how many wait."""
    return Call("GET", LEASES, reader(LeaseList), refusals=_ON_POOL)


def show_call(lease_id: str) -> Call[Lease]:
    """Ask how a lease is; no heartbeat."""
    return Call("GET", _path(lease_id), reader(Lease), refusals=_ON_LEASE)


def heartbeat_call(lease_id: str) -> Call[Lease]:
    """Keep a lease."""
    return Call("POST", _path(lease_id, "heartbeat"), reader(Lease), refusals=_ON_LEASE)


def interrupt_call(lease_id: str) -> Call[InterruptReport]:
    """Interrupt the running cell."""
    path = _path(lease_id, "interrupt")
    return Call("POST", path, reader(InterruptReport), refusals=_ON_LEASE)


def release_call(lease_id: str) -> Call[None]:
    """Give a kernel back."""
    return Call(
        "DELETE", _path(lease_id), lambda _response: None, statuses=(204,), refusals=_ON_LEASE
    )


def execute_call(lease_id: str, code: str, timeout_s: float | None) -> Call[CellResult]:
    """Run a cell and wait for its result; raises `UsageError` for what is no cell."""
    limit_s = MAX_CELL_TIMEOUT_S if timeout_s is None else timeout_s
    return Call(
        "POST",
        _path(lease_id, "execute"),
        reader(CellResult),
        read_timeout_s=limit_s + MARGIN_S,
        body=_cell(code, timeout_s),
        refusals=_ON_LEASE,
    )


def stream_call(lease_id: str, code: str, timeout_s: float | None) -> Call[httpx.Response]:
    """Run a cell and watch its output; raises `UsageError` for what is no cell."""
    return Call(
        "POST",
        _path(lease_id, "execute"),
        as_it_is,
        read_timeout_s=exchange.STREAM_SILENCE_S,
        accept="text/event-stream",
        body=_cell(code, timeout_s),
        streamed=True,
        refusals=_ON_LEASE,
    )


def read_cell_event(sse: ServerSentEvent) -> CellOutput | CellFinished | None:
    """Return the event of a server-sent event; None for a ping.

    Raises:
        ServerError: the cell has no result, for the reason that it gives.
        InvalidResponse: the event cannot be read; output may be missing.
    """
    if not sse.data:
        return None
    try:
        event = CELL_EVENT_ADAPTER.validate_json(sse.data)
    except ValidationError as error:
        raise InvalidResponse(
            f"an event of a cell cannot be read ({sse.event}): is the server of this version?"
        ) from error
    if isinstance(event, CellFailed):
        raise error_for(event.problem, refusals=_ON_LEASE)
    return event


def _cell(code: str, timeout_s: float | None) -> bytes:
    try:
        # A lone surrogate fits no encoding: it would be refused on the way.
        request = ExecuteRequest(code=code.encode("utf-8", "replace").decode(), timeout_s=timeout_s)
    except ValidationError as error:
        said = "; ".join(f"{each['loc'][0]}: {each['msg']}" for each in error.errors())
        raise UsageError(f"a cell that cannot be run: {said}") from error
    return body_of(request)


def _path(lease_id: str, verb: str = "") -> str:
    path = f"{LEASES}/{quote(lease_id, safe='')}"
    return f"{path}/{verb}" if verb else path
