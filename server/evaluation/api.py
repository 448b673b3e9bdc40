"""The server as an evaluation asks it: readiness, a run, its solves as streams of events.

An evaluation may talk to a server elsewhere, for days: it waits for a full queue, and comes back
after a lost connection, to the solve that goes on meanwhile.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
import httpx
import structlog
from httpx_sse import SSEError, aconnect_sse
from pydantic import ValidationError

from client.schema import (
    EVENT_ADAPTER,
    Event,
    ProblemDetails,
    Readiness,
    Run,
    SolveEnd,
    SolveFinished,
    bearer,
    read_address,
    without_password,
)
from server.evaluation.errors import ServerProblem

Result = TypeVar("Result")

log = structlog.get_logger(__name__)

CONNECT_S = 5.0
#: Silence of a stream after which it counts as dead: the server pings every 15 seconds.
SILENCE_S = 60.0
#: Seconds for an answer that is not a stream.
STATUS_S = 30.0
#: Between two tries at a server that is not there: at first, and at the most.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
BUSY = frozenset({429, 503})
#: What a server answers that has no such route.
NO_ROUTE = frozenset({404, 405})


class Lost(Exception):
    """Nothing comes of a request now; it may later, the soonest in `after_s` seconds."""

    def __init__(self, reason: str, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.after_s = after_s


class UnknownRun(Exception):
    """The server has no such run: it is another one, or keeps no journal."""


class Api:
    """One server. Use as `async with`.

    `patience_s` bounds the time for which nothing may come of a request: a server that restarts
    and loads a model has it.

    Raises:
        ServerProblem: the address or the key is none.
    """

    def __init__(self, url: str, *, key: str | None = None, patience_s: float = 600.0) -> None:
        #: The address, as it may be shown.
        self.url = without_password(url.rstrip("/"))
        self._patience_s = patience_s
        try:
            headers = bearer(key or "")
        except ValueError as error:
            raise ServerProblem(f"API key: {error}; check QUORUM_API_KEY, --key") from None
        loopback = _host_of(url) in ("127.0.0.1", "localhost", "::1")
        timeout = httpx.Timeout(STATUS_S, connect=CONNECT_S, read=SILENCE_S)
        self._http = httpx.AsyncClient(
            base_url=url.rstrip("/"), headers=headers, timeout=timeout, trust_env=not loopback
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def ready(self) -> Readiness:
        """Return how the server is.

        Raises:
            ServerProblem: it cannot be reached, or is not Quorum.
        """
        try:
            response = await self._http.get("/ready")
            return Readiness.model_validate_json(response.content)
        except httpx.HTTPError as error:
            raise self._gone(error) from error
        except ValidationError as error:
            raise ServerProblem(
                f"the server at {self.url} does not answer as Quorum does; check the address"
            ) from error

    async def open_run(self, body: Mapping[str, Any]) -> Run:
        """Open a run, or return the one of that id as it is.

        Raises:
            Lost: not now.
            ServerProblem: the server refuses.
        """
        with self._translated():
            response = await self._http.post("/v1/runs", json=body)
        self._check(response)
        try:
            return Run.model_validate_json(response.content)
        except ValidationError as error:
            raise ServerProblem(
                f"the server at {self.url} has no runs: is it of this version?"
            ) from error

    async def finish_run(self, run_id: str, reason: str) -> None:
        """Have a run take no more problems. Raises as `open_run`."""
        with self._translated():
            response = await self._http.post(f"/v1/runs/{run_id}/finish", json={"reason": reason})
        self._check(response)

    async def knows(self, solve_id: str) -> bool:
        """Return whether the server has a solve, running or recorded. Raises as `open_run`."""
        with self._translated():
            response = await self._http.get(f"/v1/solves/{solve_id}")
        if response.status_code == HTTPStatus.NOT_FOUND:
            return False
        self._check(response)
        return True

    @asynccontextmanager
    async def solving(self, body: Mapping[str, Any]) -> AsyncIterator[AsyncIterator[Event]]:
        """Begin a solve of a run, or join it: its events, the last one `solve.finished`.

        Raises, in the block too:
            Lost: the stream is lost, or the server takes nothing now.
            UnknownRun: the server has no such run.
            ServerProblem: the server refuses.
        """
        with self._translated():
            async with aconnect_sse(self._http, "POST", "/v1/solves", json=body) as source:
                if not source.response.is_success:
                    await source.response.aread()
                    if source.response.status_code == HTTPStatus.NOT_FOUND:
                        raise UnknownRun(_reason(source.response))
                self._check(source.response)
                yield _events(source.aiter_sse())

    async def patiently(self, work: Callable[[Callable[[], None]], Awaitable[Result]]) -> Result:
        """Do a work until nothing of it is lost; it says by calling what it is given that it heard.

        Raises:
            ServerProblem: nothing was heard for `patience_s` seconds.
        """
        waited_s, pause_s = 0.0, FIRST_PAUSE_S

        def heard() -> None:
            nonlocal waited_s, pause_s
            waited_s, pause_s = 0.0, FIRST_PAUSE_S

        while True:
            try:
                return await work(heard)
            except Lost as error:
                pause_s = max(pause_s, min(error.after_s, LONGEST_PAUSE_S))
                waited_s += pause_s
                if waited_s > self._patience_s:
                    raise self._gone(error) from error
                log.info("evaluation.again", reason=str(error)[:200], pause_s=pause_s)
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (httpx.TransportError, SSEError) as error:
            raise Lost(f"{type(error).__name__}: {error}") from error

    def _check(self, response: httpx.Response) -> None:
        if response.status_code in BUSY:
            raise Lost(_reason(response), _retry_after_s(response))
        if not response.is_success:
            raise ServerProblem(f"the server at {self.url} refuses: {_reason(response)}")

    async def select(
        self, solve_id: str, selector: str, time_limit_s: float
    ) -> Mapping[str, Any] | None:
        """Have a selector choose again among a solve's stored attempts; None where it cannot.

        Raises:
            ServerProblem: the server refuses, or cannot be reached.
        """
        path = f"/v1/solves/{solve_id}/select"
        timeout = httpx.Timeout(time_limit_s + STATUS_S, connect=CONNECT_S)
        body = {"selector": selector, "time_limit_s": time_limit_s}
        try:
            response = await self._http.post(path, json=body, timeout=timeout)
        except httpx.HTTPError as error:
            raise self._gone(error) from error
        if response.status_code in NO_ROUTE:
            return None
        if not response.is_success:
            raise ServerProblem(f"the server at {self.url} selects nothing: {_reason(response)}")
        chosen: dict[str, Any] = response.json()
        return chosen

    def _gone(self, error: Exception) -> ServerProblem:
        return ServerProblem(
            f"the server at {self.url} is not to be had ({type(error).__name__}: {error}): start "
            "it with `quorum serve`, or name it with --url; the same command goes on from here"
        )


async def _events(source: AsyncIterator[Any]) -> AsyncIterator[Event]:
    async for sse in source:
        if not sse.data:
            continue
        try:
            event = EVENT_ADAPTER.validate_json(sse.data)
        except ValidationError:
            # Events of a later version; the last one must be read, or the answer is lost.
            if sse.event == "solve.finished":
                raise ServerProblem(
                    "the solve's last event cannot be read: is the server of this version?"
                ) from None
            continue
        if isinstance(event, SolveFinished):
            result = event.result
            if result.end is SolveEnd.INTERRUPTED and not result.replayed:
                raise Lost("the server is being shut down; its next start goes on with the solve")
            yield event
            return
        yield event
    raise Lost("the stream ended before the solve did")


def _reason(response: httpx.Response) -> str:
    try:
        return ProblemDetails.model_validate_json(response.content).detail
    except ValidationError:
        return f"{response.status_code} {response.reason_phrase}"


def _retry_after_s(response: httpx.Response) -> float:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else 1.0


def _host_of(url: str) -> str:
    try:
        return read_address(url).host
    except ValueError as error:
        raise ServerProblem(
            f"the server's address {without_password(url)[:200]!r}: {error}; give --url as "
            "`quorum serve` prints it, such as http://127.0.0.1:8642"
        ) from None
