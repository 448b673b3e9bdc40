"""Both clients behind one face, so that one suite runs over both."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import anyio.to_thread

from client.exchange import RetryPolicy
from client.http import AsyncQuorumClient, QuorumClient
from client.schema import Event, Health, Readiness, SolveRequest, SolveResult

Answer = TypeVar("Answer")


class Driver(Protocol):
    """What a client does, each time with a client of its own."""

    async def solve(self, request: SolveRequest, **limits: float) -> SolveResult: ...
    async def events(self, request: SolveRequest, most: int | None = None) -> list[Event]: ...
    async def cancel(self, solve_id: str) -> None: ...
    async def health(self) -> Health: ...
    async def ready(self) -> Readiness: ...


class SyncDriver:
    """Runs the synchronous client on a worker thread."""

    def __init__(self, url: str, retry: RetryPolicy | None = None) -> None:
        self._url, self._retry = url, retry

    async def solve(self, request: SolveRequest, **limits: float) -> SolveResult:
        return await self._run(lambda client: client.solve(request, **limits))

    async def events(self, request: SolveRequest, most: int | None = None) -> list[Event]:
        def collect(client: QuorumClient) -> list[Event]:
            collected = []
            with client.stream(request) as events:
                for event in events:
                    collected.append(event)
                    if len(collected) == most:
                        break
            return collected

        return await self._run(collect)

    async def cancel(self, solve_id: str) -> None:
        await self._run(lambda client: client.cancel(solve_id))

    async def health(self) -> Health:
        return await self._run(lambda client: client.health())

    async def ready(self) -> Readiness:
        return await self._run(lambda client: client.ready())

    async def _run(self, ask: Callable[[QuorumClient], Answer]) -> Answer:
        def run() -> Answer:
            with QuorumClient(self._url, retry=self._retry) as client:
                return ask(client)

        return await anyio.to_thread.run_sync(run)


class AsyncDriver:
    """Runs the asynchronous client."""

    def __init__(self, url: str, retry: RetryPolicy | None = None) -> None:
        self._url, self._retry = url, retry

    def _open(self) -> AsyncQuorumClient:
        return AsyncQuorumClient(self._url, retry=self._retry)

    async def solve(self, request: SolveRequest, **limits: float) -> SolveResult:
        async with self._open() as client:
            return await client.solve(request, **limits)

    async def events(self, request: SolveRequest, most: int | None = None) -> list[Event]:
        collected = []
        async with self._open() as client, client.stream(request) as events:
            async for event in events:
                collected.append(event)
                if len(collected) == most:
                    break
        return collected

    async def cancel(self, solve_id: str) -> None:
        async with self._open() as client:
            await client.cancel(solve_id)

    async def health(self) -> Health:
        async with self._open() as client:
            return await client.health()

    async def ready(self) -> Readiness:
        async with self._open() as client:
            return await client.ready()
