"""The typed HTTP clients: `QuorumClient` and `AsyncQuorumClient`.

    async with AsyncQuorumClient() as client:
        result = await client.solve(SolveRequest(problem="What is 6 * 7?"))

What they say and understand is in `client.exchange`; here is only how bytes move. Every method
raises `QuorumClientError` and nothing of httpx's. Leaving a stream, or cancelling a call, closes
its connection, by which the server cancels the solve.
"""

import ipaddress
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from types import TracebackType
from typing import Self, TypeVar, cast

import anyio
import httpx
from httpx_sse import EventSource

from client.asking import Asking, AsyncAsking
from client.errors import (
    HTTPX_ERRORS,
    BadServerAddress,
    ConnectionLost,
    TransportError,
    UsageError,
    translated,
    usable_environment,
)
from client.exchange import (
    NO_MORE,
    Call,
    Chase,
    Exchange,
    RetryPolicy,
    cancel_call,
    follow_call,
    health_call,
    read_event,
    ready_call,
    stream_call,
)
from client.patience import QUEUE_TIMEOUT_S, AsyncWatched, Patience, Watched
from client.runs import AsyncRuns, Runs
from client.schema import (
    Event,
    Health,
    Readiness,
    SolveFinished,
    SolveRequest,
    SolveResult,
    bearer,
    read_address,
    without_password,
)

Answer = TypeVar("Answer")

#: Where `quorum serve` listens unless told otherwise.
DEFAULT_URL = "http://127.0.0.1:8642"

#: What clients of OpenAI's API have at the end of a server's address.
OPENAI_PATH = "/v1"

#: The variable that holds the key for servers that demand one.
KEY_VARIABLE = "QUORUM_API_KEY"

#: Idle connections are dropped sooner than the server drops them (uvicorn: 5 s), or a request
#: sent in that moment would be lost; as many at once as the caller has calls.
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=2.0)


def checked_url(url: str) -> str:
    """Return a server's base URL without its trailing slash; raise `BadServerAddress`."""
    shown = without_password(url)
    try:
        parsed = read_address(url)
    except ValueError as error:
        raise BadServerAddress(f"server URL {shown!r}: {error}; write {DEFAULT_URL}") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise BadServerAddress(
            f"server URL {shown!r}: must be an http or https address, such as {DEFAULT_URL}"
        )
    base = str(parsed.copy_with(query=None, fragment=None)).rstrip("/")
    if base.endswith(OPENAI_PATH):
        raise BadServerAddress(
            f"server URL {shown!r}: must be the server's own address, not that for OpenAI's "
            f"clients; leave {OPENAI_PATH} out"
        )
    return base


def _trust_environment(url: str) -> bool:
    """Whether proxies of the environment apply: not on the way to this very machine."""
    host = httpx.URL(url).host
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


def _credentials(key: str | None) -> dict[str, str]:
    """Return the header that holds a key, the given or the environment's, without spaces around."""
    try:
        return bearer(os.environ.get(KEY_VARIABLE, "") if key is None else key)
    except ValueError as error:
        raise UsageError(f"the key: {error}; correct it, or unset {KEY_VARIABLE}") from None


def _cut_short(url: str, events: int) -> ConnectionLost:
    return ConnectionLost(
        f"the server at {url} ended the stream after {events} events, before the solve's end"
    )


class QuorumClient(Asking):
    """The synchronous client; may be used from several threads at once.

    `key` is for servers that demand one; left out, it is the variable `QUORUM_API_KEY`.
    """

    def __init__(
        self, url: str = DEFAULT_URL, *, key: str | None = None, retry: RetryPolicy | None = None
    ) -> None:
        base_url = checked_url(url)
        self.url = without_password(base_url)
        self._retry = retry or RetryPolicy()
        headers, trusted = _credentials(key), _trust_environment(base_url)
        with usable_environment():
            self._http = httpx.Client(
                base_url=base_url, limits=LIMITS, headers=headers, trust_env=trusted
            )

    @property
    def runs(self) -> Runs:
        """Runs: problems under one clock."""
        return Runs(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; running calls fail."""
        self._http.close()

    def solve(
        self, request: SolveRequest, *, queue_timeout_s: float = QUEUE_TIMEOUT_S
    ) -> SolveResult:
        """Solve a problem; returns at its end, at the latest a minute after its time limit.

        The limit counts from the solve's start, for which it waits at most `queue_timeout_s`.
        Raises `ServerTimeout` when either takes longer; the solve is cancelled.
        """
        patience = Patience(self.url, queue_timeout_s)
        with closing(self.obtain(stream_call(request))) as response:
            response.stream = Watched(cast(httpx.SyncByteStream, response.stream), patience)
            for event in self._events(response):
                patience.observe(event)
                if isinstance(event, SolveFinished):
                    return event.result
        raise AssertionError("a stream ends with the solve's end or with an error")

    @contextmanager
    def stream(self, request: SolveRequest) -> Iterator[Iterator[Event]]:
        """Solve a problem; yields an iterator over its events, the last a `SolveFinished`."""
        with closing(self.obtain(stream_call(request))) as response:
            yield self._events(response)

    def follow(
        self, solve_id: str, *, after: int = 0, tokens: bool = False
    ) -> Generator[Event, None, None]:
        """Yield the events of a solve with ids above `after`, until its end.

        A connection that breaks is made again, and no event of that server is lost or comes twice.
        Where the server died and another goes on with the solve, it goes on from what was on the
        disk: what came after that is sampled and told anew, under new ids. Leaving does not cancel
        the solve.
        """
        chase = Chase(self._retry, after)
        while chase.goes_on:
            with closing(self.obtain(follow_call(solve_id, chase.seen, tokens=tokens))) as response:
                try:
                    if response.status_code == NO_MORE:
                        return
                    for event in self._events(response):
                        chase.note(event)
                        yield event
                except TransportError as error:
                    wait_s = chase.after_error(error)
                else:
                    return
            time.sleep(wait_s)

    def cancel(self, solve_id: str) -> None:
        """End a solve; raises `NotFound` when there is none of that id."""
        self.ask(cancel_call(solve_id))

    def health(self) -> Health:
        """Ask whether the server lives."""
        return self.ask(health_call())

    def ready(self) -> Readiness:
        """Ask whether the server can solve, and what it waits for."""
        return self.ask(ready_call())

    def ask(self, call: Call[Answer]) -> Answer:
        """Make a call and return its answer."""
        return call.read(self.obtain(call))

    def obtain(self, call: Call[Answer]) -> httpx.Response:
        """Make a call and return the response, to be closed by the caller if it is streamed."""
        judge = Exchange(call, self._retry, self.url)
        while True:
            try:
                response = self._send(call)
            except HTTPX_ERRORS as error:
                wait_s = judge.after_error(error)
            else:
                if judge.accepts(response):
                    return response
                wait_s = judge.after_refusal(response)
            time.sleep(wait_s)

    def _send(self, call: Call[Answer]) -> httpx.Response:
        response = self._http.send(_build(self._http, call), stream=True)
        if not _stays_open(response, call):
            with closing(response):
                response.read()
        return response

    def _events(self, response: httpx.Response) -> Iterator[Event]:
        count = 0
        with translated(self.url):
            for sse in EventSource(response).iter_sse():
                event = read_event(sse)
                if event is not None:
                    count += 1
                    yield event
                if isinstance(event, SolveFinished):
                    return
        raise _cut_short(self.url, count)


class AsyncQuorumClient(AsyncAsking):
    """The asynchronous client, on anyio; open it in `async with`. `key`: see `QuorumClient`."""

    def __init__(
        self, url: str = DEFAULT_URL, *, key: str | None = None, retry: RetryPolicy | None = None
    ) -> None:
        base_url = checked_url(url)
        self.url = without_password(base_url)
        self._retry = retry or RetryPolicy()
        headers, trusted = _credentials(key), _trust_environment(base_url)
        with usable_environment():
            self._http = httpx.AsyncClient(
                base_url=base_url, limits=LIMITS, headers=headers, trust_env=trusted
            )

    @property
    def runs(self) -> AsyncRuns:
        """Runs: problems under one clock."""
        return AsyncRuns(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; running calls fail."""
        await self._http.aclose()

    async def solve(
        self, request: SolveRequest, *, queue_timeout_s: float = QUEUE_TIMEOUT_S
    ) -> SolveResult:
        """Solve a problem; returns at its end, at the latest a minute after its time limit.

        The limit counts from the solve's start, for which it waits at most `queue_timeout_s`.
        Raises `ServerTimeout` when either takes longer; the solve is cancelled.
        """
        patience = Patience(self.url, queue_timeout_s)
        response = await self.obtain(stream_call(request))
        response.stream = AsyncWatched(cast(httpx.AsyncByteStream, response.stream), patience)
        async with aclosing(response), aclosing(self._events(response)) as events:
            async for event in events:
                patience.observe(event)
                if isinstance(event, SolveFinished):
                    return event.result
        raise AssertionError("a stream ends with the solve's end or with an error")

    @asynccontextmanager
    async def stream(self, request: SolveRequest) -> AsyncIterator[AsyncIterator[Event]]:
        """Solve a problem; yields an iterator over its events, the last a `SolveFinished`."""
        response = await self.obtain(stream_call(request))
        events = self._events(response)
        try:
            yield events
        finally:
            await events.aclose()
            await response.aclose()

    async def follow(
        self, solve_id: str, *, after: int = 0, tokens: bool = False
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of a solve; as `QuorumClient.follow`. Close it with `aclosing`."""
        chase = Chase(self._retry, after)
        while chase.goes_on:
            response = await self.obtain(follow_call(solve_id, chase.seen, tokens=tokens))
            async with aclosing(response), aclosing(self._events(response)) as events:
                try:
                    if response.status_code == NO_MORE:
                        return
                    async for event in events:
                        chase.note(event)
                        yield event
                except TransportError as error:
                    wait_s = chase.after_error(error)
                else:
                    return
            await anyio.sleep(wait_s)

    async def cancel(self, solve_id: str) -> None:
        """End a solve; raises `NotFound` when there is none of that id."""
        await self.ask(cancel_call(solve_id))

    async def health(self) -> Health:
        """Ask whether the server lives."""
        return await self.ask(health_call())

    async def ready(self) -> Readiness:
        """Ask whether the server can solve, and what it waits for."""
        return await self.ask(ready_call())

    async def ask(self, call: Call[Answer]) -> Answer:
        """Make a call and return its answer."""
        return call.read(await self.obtain(call))

    async def obtain(self, call: Call[Answer]) -> httpx.Response:
        """Make a call and return the response, to be closed by the caller if it is streamed."""
        judge = Exchange(call, self._retry, self.url)
        while True:
            try:
                response = await self._send(call)
            except HTTPX_ERRORS as error:
                wait_s = judge.after_error(error)
            else:
                if judge.accepts(response):
                    return response
                wait_s = judge.after_refusal(response)
            await anyio.sleep(wait_s)

    async def _send(self, call: Call[Answer]) -> httpx.Response:
        response = await self._http.send(_build(self._http, call), stream=True)
        if not _stays_open(response, call):
            try:
                await response.aread()
            finally:
                await response.aclose()
        return response

    async def _events(self, response: httpx.Response) -> AsyncGenerator[Event, None]:
        count = 0
        with translated(self.url):
            async for sse in EventSource(response).aiter_sse():
                event = read_event(sse)
                if event is not None:
                    count += 1
                    yield event
                if isinstance(event, SolveFinished):
                    return
        raise _cut_short(self.url, count)


def _build(http: httpx.Client | httpx.AsyncClient, call: Call[Answer]) -> httpx.Request:
    return http.build_request(
        call.method, call.path, content=call.body, headers=call.headers, timeout=call.timeout
    )


def _stays_open(response: httpx.Response, call: Call[Answer]) -> bool:
    return call.streamed and response.status_code in call.statuses
