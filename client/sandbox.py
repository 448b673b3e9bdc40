"""Typed clients of a server's sandbox: kernels for programs that solve nothing.

    with SandboxClient() as sandbox, sandbox.lease() as kernel:
        print(kernel.execute("2**127 - 1").output)

A lease is kept by heartbeats in the background and given back at the end of its block. Every method
raises `QuorumClientError`. Leaving a stream early, or cancelling a call, interrupts the cell; until
it has stopped, the next one is refused with `LeaseBusy`.
"""

import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from types import TracebackType
from typing import Self

import anyio
import httpx
from httpx_sse import EventSource

from client.errors import (
    ConnectionLost,
    LeaseExpired,
    LeaseNotFound,
    QuorumClientError,
    translated,
)
from client.exchange import STATUS_TIMEOUT_S, RetryPolicy
from client.groups import collapsed
from client.http import DEFAULT_URL, AsyncQuorumClient, QuorumClient
from client.sandbox_exchange import (
    BEATS_PER_TTL,
    execute_call,
    heartbeat_call,
    interrupt_call,
    lease_call,
    leases_call,
    read_cell_event,
    release_call,
    show_call,
    stream_call,
)
from client.schema import CellFinished, CellOutput, CellResult, Lease, LeaseList, LeaseRequest

#: A kernel of any kind, with the defaults of the schema.
ANY_KERNEL = LeaseRequest()


class SandboxClient:
    """The synchronous client; may be used from several threads at once."""

    def __init__(
        self, url: str = DEFAULT_URL, *, key: str | None = None, retry: RetryPolicy | None = None
    ) -> None:
        self._client = QuorumClient(url, key=key, retry=retry)

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
        self._client.close()

    def leases(self) -> LeaseList:
        """Ask who has kernels, and how many wait."""
        return self._client.ask(leases_call())

    @contextmanager
    def lease(self, request: LeaseRequest = ANY_KERNEL) -> Iterator["LeasedKernel"]:
        """Have a kernel for the length of the block.

        Raises:
            SandboxBusy: too many wait for one already.
            SandboxUnavailable: none came within `request.wait_s`.
            SandboxOff: the server gives none over HTTP.
        """
        kernel = LeasedKernel(self._client, self._client.ask(lease_call(request)))
        ended = threading.Event()
        heart = threading.Thread(target=kernel.beat, args=(ended,), daemon=True)
        heart.start()
        try:
            yield kernel
        finally:
            ended.set()
            heart.join(STATUS_TIMEOUT_S)
            # What cannot be given back expires.
            with suppress(QuorumClientError):
                self._client.ask(release_call(kernel.lease.lease_id))


class LeasedKernel:
    """A kernel of one's own; `lease` is how it was given."""

    def __init__(self, client: QuorumClient, lease: Lease) -> None:
        self._client = client
        self.lease = lease

    def execute(self, code: str, timeout_s: float | None = None) -> CellResult:
        """Run a cell and return its result, whatever the code does.

        Raises:
            LeaseExpired, LeaseNotFound: there is no kernel any more.
            LeaseBusy: a cell still runs.
            SandboxUnavailable: the kernel was lost, and no other can be started.
        """
        return self._client.ask(execute_call(self.lease.lease_id, code, timeout_s))

    @contextmanager
    def stream(
        self, code: str, timeout_s: float | None = None
    ) -> Iterator[Iterator[CellOutput | CellFinished]]:
        """Run a cell; yields an iterator over its output, the last item a `CellFinished`."""
        call = stream_call(self.lease.lease_id, code, timeout_s)
        with closing(self._client.obtain(call)) as response:
            yield self._events(response)

    def interrupt(self) -> bool:
        """Interrupt the running cell, which then returns its result; False when none runs."""
        return self._client.ask(interrupt_call(self.lease.lease_id)).interrupted

    def show(self) -> Lease:
        """Ask how the lease is."""
        return self._client.ask(show_call(self.lease.lease_id))

    def heartbeat(self) -> Lease:
        """Keep the lease; done in the background too."""
        return self._client.ask(heartbeat_call(self.lease.lease_id))

    def beat(self, ended: threading.Event) -> None:
        """Keep the lease until `ended`, or until it is gone."""
        while not ended.wait(self.lease.ttl_s / BEATS_PER_TTL):
            try:
                self.heartbeat()
            except (LeaseExpired, LeaseNotFound):
                return  # the next cell is told
            except QuorumClientError:
                continue  # the next beat may get through

    def _events(self, response: httpx.Response) -> Iterator[CellOutput | CellFinished]:
        with translated(self._client.url):
            for sse in EventSource(response).iter_sse():
                event = read_cell_event(sse)
                if event is not None:
                    yield event
                if isinstance(event, CellFinished):
                    return
        raise _cut_short(self._client.url)


class AsyncSandboxClient:
    """The asynchronous client, on anyio; open it in `async with`."""

    def __init__(
        self, url: str = DEFAULT_URL, *, key: str | None = None, retry: RetryPolicy | None = None
    ) -> None:
        self._client = AsyncQuorumClient(url, key=key, retry=retry)

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
        await self._client.aclose()

    async def leases(self) -> LeaseList:
        """Ask who has kernels, and how many wait."""
        return await self._client.ask(leases_call())

    @asynccontextmanager
    async def lease(self, request: LeaseRequest = ANY_KERNEL) -> AsyncIterator["AsyncLeasedKernel"]:
        """Have a kernel for the length of the block; raises as `SandboxClient.lease` does."""
        kernel = AsyncLeasedKernel(self._client, await self._client.ask(lease_call(request)))
        try:
            with collapsed():
                async with anyio.create_task_group() as group:
                    group.start_soon(kernel.beat)
                    yield kernel
                    group.cancel_scope.cancel()
        finally:
            # What cannot be given back expires.
            with anyio.CancelScope(shield=True), suppress(QuorumClientError):
                with anyio.move_on_after(STATUS_TIMEOUT_S):
                    await self._client.ask(release_call(kernel.lease.lease_id))


class AsyncLeasedKernel:
    """A kernel of one's own; `lease` is how it was given."""

    def __init__(self, client: AsyncQuorumClient, lease: Lease) -> None:
        self._client = client
        self.lease = lease

    async def execute(self, code: str, timeout_s: float | None = None) -> CellResult:
        """Run a cell and return its result; raises as `LeasedKernel.execute` does."""
        return await self._client.ask(execute_call(self.lease.lease_id, code, timeout_s))

    @asynccontextmanager
    async def stream(
        self, code: str, timeout_s: float | None = None
    ) -> AsyncIterator[AsyncIterator[CellOutput | CellFinished]]:
        """Run a cell; yields an iterator over its output, the last item a `CellFinished`."""
        call = stream_call(self.lease.lease_id, code, timeout_s)
        response = await self._client.obtain(call)
        events = self._events(response)
        try:
            yield events
        finally:
            await events.aclose()
            await response.aclose()

    async def interrupt(self) -> bool:
        """Interrupt the running cell, which then returns its result; False when none runs."""
        return (await self._client.ask(interrupt_call(self.lease.lease_id))).interrupted

    async def show(self) -> Lease:
        """Ask how the lease is."""
        return await self._client.ask(show_call(self.lease.lease_id))

    async def heartbeat(self) -> Lease:
        """Keep the lease; done in the background too."""
        return await self._client.ask(heartbeat_call(self.lease.lease_id))

    async def beat(self) -> None:
        """Keep the lease until cancelled, or until it is gone."""
        while True:
            await anyio.sleep(self.lease.ttl_s / BEATS_PER_TTL)
            try:
                await self.heartbeat()
            except (LeaseExpired, LeaseNotFound):
                return  # the next cell is told
            except QuorumClientError:
                continue  # the next beat may get through

    async def _events(
        self, response: httpx.Response
    ) -> AsyncGenerator[CellOutput | CellFinished, None]:
        with translated(self._client.url):
            async for sse in EventSource(response).aiter_sse():
                event = read_cell_event(sse)
                if event is not None:
                    yield event
                if isinstance(event, CellFinished):
                    return
        raise _cut_short(self._client.url)


def _cut_short(url: str) -> ConnectionLost:
    return ConnectionLost(f"the server at {url} ended the stream before the cell's end")
