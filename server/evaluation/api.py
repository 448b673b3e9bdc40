"""The server as an evaluation asks it: readiness, solves as streams of events.

An evaluation may talk to a server elsewhere, for days: it waits for a full queue, and comes back
after a lost connection. Its solves belong to no run: the budget of one adds attempts where it sees
fit, and an evaluation has as many as it asked for.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import anyio
import httpx
import structlog
from httpx_sse import SSEError, aconnect_sse
from pydantic import ValidationError

from client.schema import EVENT_ADAPTER, Event, ProblemDetails, Readiness, SolveFinished
from server.evaluation.errors import ServerProblem

log = structlog.get_logger(__name__)

CONNECT_S = 5.0
#: Silence of a stream after which it counts as dead: the server pings every 15 seconds.
SILENCE_S = 60.0
#: Seconds for an answer that is not a stream.
STATUS_S = 30.0
#: Between two tries at a server that is not there, at the most.
LONGEST_PAUSE_S = 10.0
BUSY = frozenset({429, 503})
#: What a server answers that has no such route.
NO_ROUTE = frozenset({404, 405})


class Api:
    """One server. Use as `async with`.

    `patience_s` bounds the time for which nothing may come of a request: a server that restarts
    and loads a model has it.
    """

    def __init__(self, url: str, *, key: str | None = None, patience_s: float = 600.0) -> None:
        self.url = url.rstrip("/")
        self._patience_s = patience_s
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        loopback = httpx.URL(self.url).host in ("127.0.0.1", "localhost", "::1")
        timeout = httpx.Timeout(STATUS_S, connect=CONNECT_S, read=SILENCE_S)
        self._http = httpx.AsyncClient(
            base_url=self.url, headers=headers, timeout=timeout, trust_env=not loopback
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

    async def solve(self, body: Mapping[str, Any]) -> AsyncIterator[Event]:
        """Yield the events of a solve up to its last; they may come again after a lost connection.

        Raises:
            ServerProblem: the server refuses, or nothing came of it for too long.
        """
        waited_s, pause_s = 0.0, 0.5
        while True:
            try:
                async with self._stream(body) as events:
                    async for event in events:
                        waited_s, pause_s = 0.0, 0.5
                        yield event
                        if isinstance(event, SolveFinished):
                            return
                lost: Exception = ServerProblem("the stream ended before the solve did")
            except (httpx.TransportError, SSEError) as error:
                lost = error
            except _Busy as error:
                lost, pause_s = error, max(pause_s, min(error.after_s, LONGEST_PAUSE_S))
            waited_s += pause_s
            if waited_s > self._patience_s:
                raise self._gone(lost)
            log.info("evaluation.again", reason=str(lost)[:200], pause_s=pause_s)
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    @asynccontextmanager
    async def _stream(self, body: Mapping[str, Any]) -> AsyncIterator[AsyncIterator[Event]]:
        async with aconnect_sse(self._http, "POST", "/v1/solves", json=body) as source:
            response = source.response
            if response.status_code in BUSY:
                await response.aread()
                raise _Busy(_reason(response), _retry_after_s(response))
            if not response.is_success:
                await response.aread()
                raise ServerProblem(f"the server at {self.url} refuses: {_reason(response)}")
            yield _events(source.aiter_sse())

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


class _Busy(Exception):
    """The server takes nothing now."""

    def __init__(self, reason: str, after_s: float) -> None:
        super().__init__(reason)
        self.after_s = after_s


async def _events(source: AsyncIterator[Any]) -> AsyncIterator[Event]:
    async for sse in source:
        if not sse.data:
            continue
        try:
            yield EVENT_ADAPTER.validate_json(sse.data)
        except ValidationError:
            # Events of a later version; the last one must be read, or the answer is lost.
            if sse.event == "solve.finished":
                raise ServerProblem(
                    "the solve's last event cannot be read: is the server of this version?"
                ) from None


def _reason(response: httpx.Response) -> str:
    try:
        return ProblemDetails.model_validate_json(response.content).detail
    except ValidationError:
        return f"{response.status_code} {response.reason_phrase}"


def _retry_after_s(response: httpx.Response) -> float:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else 1.0
