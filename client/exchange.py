"""What the clients say and understand, without I/O: calls, retries, event reading.

Both clients ask the same `Exchange` what a response or an error means: take it, call again after
so many seconds, or raise. So sending and waiting are all that differs between the synchronous and
the asynchronous client.
"""

import json
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar, get_args
from urllib.parse import quote, urlencode

import httpx
from httpx_sse import ServerSentEvent
from pydantic import BaseModel, ValidationError

from client.errors import (
    InvalidResponse,
    Refusals,
    RunFinished,
    ServerBusy,
    ServerUnreachable,
    TransportError,
    error_of,
    is_problem,
    translate,
)
from client.schema import (
    EVENT_ADAPTER,
    Event,
    Health,
    ModelList,
    PolicyCatalogue,
    Readiness,
    SelectReport,
    SelectRequest,
    SettingList,
    SolveDetail,
    SolveFinished,
    SolveList,
    SolveRequest,
    without_password,
)

LOGGER = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Model = TypeVar("Model", bound=BaseModel)

SOLVES = "/v1/solves"
#: Seconds to connect. A server of one's own answers in milliseconds; a distant one in under one.
CONNECT_TIMEOUT_S = 5.0
#: Seconds that a request's body may take to send: 16,000 characters, over the slowest line.
WRITE_TIMEOUT_S = 30.0
#: Seconds to wait for the answer to a question about state.
STATUS_TIMEOUT_S = 10.0
#: Seconds of silence in a stream before it counts as dead: three pings, which come every 15 s.
STREAM_SILENCE_S = 45.0


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer]):
    """One request to the server and how its answer is read."""

    method: str
    path: str
    read: Callable[[httpx.Response], Answer]
    read_timeout_s: float = STATUS_TIMEOUT_S
    accept: str = "application/json"
    body: bytes | None = None
    statuses: tuple[int, ...] = (200,)
    streamed: bool = False
    refusals: Refusals = field(default_factory=dict)
    own_headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = False

    @property
    def safe(self) -> bool:
        """Whether asking twice does nothing that asking once does not."""
        return self.method == "GET" or self.repeatable

    @property
    def headers(self) -> dict[str, str]:
        """The headers to send."""
        headers = {"Accept": self.accept}
        if self.body is not None:
            headers["Content-Type"] = "application/json"
        if self.streamed:
            headers["Cache-Control"] = "no-store"
        return {**headers, **self.own_headers}

    @property
    def timeout(self) -> httpx.Timeout:
        """The time-out of each phase."""
        return httpx.Timeout(
            connect=CONNECT_TIMEOUT_S,
            read=self.read_timeout_s,
            write=WRITE_TIMEOUT_S,
            pool=CONNECT_TIMEOUT_S,
        )


def reader(model: type[Model]) -> Callable[[httpx.Response], Model]:
    """Return what reads an answer of this kind; raises `InvalidResponse` for another."""

    def read(response: httpx.Response) -> Model:
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            url = without_password(str(response.url))
            raise InvalidResponse(
                f"the server at {url} did not answer with a {model.__name__}: "
                "is it Quorum, and of this version?"
            ) from error

    return read


def stream_call(request: SolveRequest) -> Call[httpx.Response]:
    """Solve a problem and watch its events."""
    return Call(
        "POST",
        SOLVES,
        as_it_is,
        read_timeout_s=STREAM_SILENCE_S,
        accept="text/event-stream",
        body=body_of(request),
        streamed=True,
        # A problem of a run is solved once, however often it is asked.
        repeatable=request.run is not None,
        refusals={409: RunFinished} if request.run is not None else {},
    )


def start_call(request: SolveRequest) -> Call[SolveDetail]:
    """Begin to solve a problem, without waiting for its result."""
    return Call(
        "POST",
        SOLVES,
        reader(SolveDetail),
        body=body_of(request),
        statuses=(202,),
        own_headers={"Prefer": "respond-async"},
    )


def list_call(filters: Mapping[str, str | int | None]) -> Call[SolveList]:
    """Ask for a page of solves."""
    given = {name: str(value) for name, value in filters.items() if value is not None}
    return Call("GET", f"{SOLVES}?{urlencode(given)}" if given else SOLVES, reader(SolveList))


def show_call(solve_id: str) -> Call[SolveDetail]:
    """Ask for one solve."""
    return Call("GET", _of(solve_id), reader(SolveDetail))


def follow_call(solve_id: str, after: int, *, tokens: bool) -> Call[httpx.Response]:
    """Watch the events of a solve that come after one; 204: there are none and will be none."""
    return Call(
        "GET",
        f"{_of(solve_id)}/events" + ("?tokens=true" if tokens else ""),
        as_it_is,
        read_timeout_s=STREAM_SILENCE_S,
        accept="text/event-stream",
        statuses=(200, 204),
        streamed=True,
        own_headers={"Last-Event-ID": str(after)} if after else {},
    )


def select_call(solve_id: str, request: SelectRequest) -> Call[SelectReport]:
    """Choose again among the attempts of a solve."""
    return Call(
        "POST",
        f"{_of(solve_id)}/select",
        reader(SelectReport),
        read_timeout_s=request.time_limit_s + STATUS_TIMEOUT_S,
        body=body_of(request),
    )


def models_call() -> Call[ModelList]:
    """Ask which model is served."""
    return Call("GET", "/v1/models", reader(ModelList))


def policies_call() -> Call[PolicyCatalogue]:
    """Ask which strategies and policies there are."""
    return Call("GET", "/v1/policies", reader(PolicyCatalogue))


def settings_call() -> Call[SettingList]:
    """Ask which settings are in force."""
    return Call("GET", "/v1/settings", reader(SettingList))


def _of(solve_id: str) -> str:
    return f"{SOLVES}/{quote(solve_id, safe='')}"


def cancel_call(solve_id: str) -> Call[None]:
    """End a solve."""
    return Call("DELETE", _of(solve_id), lambda _response: None, statuses=(204,))


def health_call() -> Call[Health]:
    """Ask whether the server lives."""
    return Call("GET", "/health", reader(Health))


def ready_call() -> Call[Readiness]:
    """Ask whether the server can solve, and what it waits for."""
    return Call("GET", "/ready", reader(Readiness), statuses=(200, 503))


def body_of(request: BaseModel) -> bytes:
    """Return a request as it is sent: what was not given is left to the server."""
    return request.model_dump_json(exclude_unset=True).encode()


def as_it_is(response: httpx.Response) -> httpx.Response:
    """Return a response whose body is read bit by bit."""
    return response


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed call is made again.

    A call is repeated only where that is safe: a GET after any failure of transport, anything
    else only when no connection was made. `busy_patience_s` seconds in all are spent waiting for
    a full queue (429, by which the server took nothing), in steps of its Retry-After.
    """

    retries: int = 3
    first_wait_s: float = 0.1
    busy_patience_s: float = 0.0


NO_RETRY = RetryPolicy(retries=0)

#: Seconds to wait for a full queue when the server does not say how long.
BUSY_WAIT_S = 1.0


class Exchange(Generic[Answer]):
    """One call until it succeeds or may not be repeated: judges each response and each error."""

    def __init__(self, call: Call[Answer], policy: RetryPolicy, url: str) -> None:
        self._call = call
        self._policy = policy
        self._url = url
        self._retries = 0
        self._busy_s = 0.0

    def accepts(self, response: httpx.Response) -> bool:
        """Whether this is an answer, not a refusal."""
        return response.status_code in self._call.statuses and not is_problem(response)

    def after_error(self, error: Exception) -> float:
        """Return the seconds after which to call again; raise our error for one of httpx's."""
        failure = translate(error, self._url)
        repeatable = TransportError if self._call.safe else ServerUnreachable
        if not isinstance(failure, repeatable) or self._retries >= self._policy.retries:
            raise failure from error
        self._retries += 1
        # jitter: clients that lost the same server must not come back in step
        return random.uniform(0.75, 1.25) * self._policy.first_wait_s * 2.0 ** (self._retries - 1)

    def after_refusal(self, response: httpx.Response) -> float:
        """Return the seconds after which to call again; raise our error for a read refusal."""
        failure = error_of(response, self._call.refusals)
        if not isinstance(failure, ServerBusy):
            raise failure
        wait_s = max(failure.retry_after_s or BUSY_WAIT_S, self._policy.first_wait_s)
        self._busy_s += wait_s
        if self._busy_s > self._policy.busy_patience_s:
            raise failure
        return wait_s


#: Status of a stream of events after the last one.
NO_MORE = 204


class Chase:
    """A stream of events over several connections: where it is, and when to connect again."""

    def __init__(self, policy: RetryPolicy, after: int) -> None:
        self.seen = after
        self._policy = policy
        self._failures = 0
        self.goes_on = True

    def note(self, event: Event) -> None:
        """Take an event; the next connection goes on after it."""
        self.seen = event.id
        self._failures = 0
        self.goes_on = not isinstance(event, SolveFinished)

    def after_error(self, error: TransportError) -> float:
        """Return the seconds after which to connect again; raise the error after too many."""
        self._failures += 1
        if self._failures > self._policy.retries:
            raise error
        return self._policy.first_wait_s * 2.0 ** (self._failures - 1)


#: The event types of this version of the schema.
EVENT_TYPES = frozenset(
    member.model_fields["type"].default for member in get_args(get_args(Event)[0])
)
FINAL_EVENT = "solve.finished"


def read_event(sse: ServerSentEvent) -> Event | None:
    """Return the event of a server-sent event; None for one to be skipped.

    Skipped: pings, types of a later version and, with a warning, what cannot be read: a display
    event lost is no reason to lose the answer. An unreadable last event is one
    (`InvalidResponse`).
    """
    if not sse.data:
        return None
    try:
        return EVENT_ADAPTER.validate_json(sse.data)
    except ValidationError as error:
        name = _type_of(sse)
        if name == FINAL_EVENT:
            raise InvalidResponse(
                "the solve's last event cannot be read: is the server of this version?"
            ) from error
        if name not in EVENT_TYPES and name:
            LOGGER.debug("skipped an event of the unknown type %r", name)
        else:
            LOGGER.warning("skipped an event that cannot be read: %.200r", sse.data)
        return None


def _type_of(sse: ServerSentEvent) -> str:
    try:
        data = json.loads(sse.data)
    except (ValueError, RecursionError):
        return sse.event if sse.event == FINAL_EVENT else ""
    name = data.get("type") if isinstance(data, dict) else None
    return name if isinstance(name, str) else ""
