"""Both clients of the sandbox against a real gateway with real kernels: one suite over both."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import anyio
import pytest

from client import errors
from client.exchange import NO_RETRY
from client.http import AsyncQuorumClient
from client.sandbox import AsyncLeasedKernel, AsyncSandboxClient, LeasedKernel, SandboxClient
from client.sandbox_exchange import release_call
from client.schema import (
    CellFinished,
    CellOutput,
    CellResult,
    CellStatus,
    Lease,
    LeaseList,
    LeaseRequest,
)
from tests.server.api.gateway import wait_until
from tests.server.api.sandbox_gateway import KERNELS, SandboxGateway, serving_sandbox
from tests.server.solve.plain_logs import plain_logs

Events = list[CellOutput | CellFinished]


class KernelDriver(Protocol):
    """What a leased kernel does."""

    async def execute(self, code: str, timeout_s: float | None = None) -> CellResult: ...
    async def events(self, code: str, most: int | None = None) -> Events: ...
    async def interrupt(self) -> bool: ...
    async def show(self) -> Lease: ...


class ClientDriver(Protocol):
    """What a client does, each time with a client of its own."""

    def lease(self, request: LeaseRequest) -> AbstractAsyncContextManager[KernelDriver]: ...
    async def leases(self) -> LeaseList: ...


class SyncKernel:
    def __init__(self, kernel: LeasedKernel) -> None:
        self.kernel = kernel

    async def execute(self, code: str, timeout_s: float | None = None) -> CellResult:
        return await anyio.to_thread.run_sync(self.kernel.execute, code, timeout_s)

    async def events(self, code: str, most: int | None = None) -> Events:
        def collect() -> Events:
            collected: Events = []
            with self.kernel.stream(code) as events:
                for event in events:
                    collected.append(event)
                    if len(collected) == most:
                        break
            return collected

        return await anyio.to_thread.run_sync(collect)

    async def interrupt(self) -> bool:
        return await anyio.to_thread.run_sync(self.kernel.interrupt)

    async def show(self) -> Lease:
        return await anyio.to_thread.run_sync(self.kernel.show)


class SyncDriver:
    """The blocking client, on worker threads."""

    def __init__(self, url: str) -> None:
        self.url = url

    @asynccontextmanager
    async def lease(self, request: LeaseRequest) -> AsyncIterator[KernelDriver]:
        with SandboxClient(self.url, retry=NO_RETRY) as client:
            manager = client.lease(request)
            kernel = await anyio.to_thread.run_sync(manager.__enter__)
            try:
                yield SyncKernel(kernel)
            finally:
                await anyio.to_thread.run_sync(manager.__exit__, None, None, None)

    async def leases(self) -> LeaseList:
        with SandboxClient(self.url) as client:
            return await anyio.to_thread.run_sync(client.leases)


class AsyncKernel:
    def __init__(self, kernel: AsyncLeasedKernel) -> None:
        self.kernel = kernel
        self.execute = kernel.execute
        self.interrupt = kernel.interrupt
        self.show = kernel.show

    async def events(self, code: str, most: int | None = None) -> Events:
        collected: Events = []
        async with self.kernel.stream(code) as events:
            async for event in events:
                collected.append(event)
                if len(collected) == most:
                    break
        return collected


class AsyncDriver:
    """The asynchronous client."""

    def __init__(self, url: str) -> None:
        self.url = url

    @asynccontextmanager
    async def lease(self, request: LeaseRequest) -> AsyncIterator[KernelDriver]:
        async with (
            AsyncSandboxClient(self.url, retry=NO_RETRY) as client,
            client.lease(request) as kernel,
        ):
            yield AsyncKernel(kernel)

    async def leases(self) -> LeaseList:
        async with AsyncSandboxClient(self.url) as client:
            return await client.leases()


@pytest.fixture(scope="module")
def running_sandbox() -> Iterator[SandboxGateway]:
    with plain_logs(), serving_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: SandboxGateway) -> Iterator[SandboxGateway]:
    wait_until(running_sandbox.idle)
    yield running_sandbox
    wait_until(running_sandbox.idle)


@pytest.fixture(params=[SyncDriver, AsyncDriver], ids=["sync", "async"])
def driver(request: pytest.FixtureRequest, sandbox: SandboxGateway) -> ClientDriver:
    made: ClientDriver = request.param(sandbox.url)
    return made


async def until(kernel: KernelDriver, *, busy: bool) -> None:
    """Wait until a cell runs, or none; what is asked over HTTP paces itself."""
    with anyio.fail_after(5):
        while (await kernel.show()).busy is not busy:
            pass


async def test_a_kernel_for_a_block(driver: ClientDriver, sandbox: SandboxGateway) -> None:
    async with driver.lease(LeaseRequest(owner="me", seed=3)) as kernel:
        assert (await kernel.execute("x = 6\nx * 7")).output == "42\n"
        result = await kernel.execute("while True: pass", 0.3)
        assert result.status is CellStatus.TIMEOUT
        assert (await kernel.show()).cells == 2
        listed = await driver.leases()
        assert [(each.owner, each.seed) for each in listed.leases] == [("me", 3)]
        assert listed.kernels == KERNELS
    # The answer to the release does not wait for the pool to take the kernel back.
    with anyio.fail_after(5):
        while sandbox.pool().leased:
            await anyio.lowlevel.checkpoint()


async def test_output_as_it_comes(driver: ClientDriver) -> None:
    async with driver.lease(LeaseRequest()) as kernel:
        events = await kernel.events("print('a')\n6 * 7")
        last = events[-1]
        assert isinstance(last, CellFinished)
        texts = [event.text for event in events if isinstance(event, CellOutput)]
        assert "".join(texts) == last.result.output == "a\n42\n"


async def test_leaving_a_stream_interrupts_its_cell(driver: ClientDriver) -> None:
    async with driver.lease(LeaseRequest()) as kernel:
        code = "kept = 42\nprint('on', flush=True)\nwhile True: pass"
        assert await kernel.events(code, most=1) == [CellOutput(text="on\n")]
        await until(kernel, busy=False)
        assert (await kernel.execute("kept")).output == "42\n"


async def test_interrupting_from_elsewhere(driver: ClientDriver) -> None:
    results: list[CellResult] = []
    async with driver.lease(LeaseRequest()) as kernel:
        assert not await kernel.interrupt()

        async def run() -> None:
            results.append(await kernel.execute("while True: pass", 60.0))

        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(run)
                while not await kernel.interrupt():
                    pass  # it has not begun
    assert results[0].status is CellStatus.INTERRUPTED


async def test_heartbeats_keep_an_idle_lease(driver: ClientDriver) -> None:
    async with driver.lease(LeaseRequest(ttl_s=1)) as kernel:
        await anyio.sleep(1.6)
        assert (await kernel.execute("6 * 7")).output == "42\n"


async def test_refusals_are_typed(driver: ClientDriver, sandbox: SandboxGateway) -> None:
    async with driver.lease(LeaseRequest()) as kernel, driver.lease(LeaseRequest()):
        with pytest.raises(errors.SandboxUnavailable, match="no kernel within") as caught:
            async with driver.lease(LeaseRequest(wait_s=0.1)):
                pytest.fail("there are no more kernels")
        assert caught.value.retry_after_s is not None
        async with anyio.create_task_group() as group:

            async def wait() -> None:
                with pytest.raises(errors.SandboxUnavailable):
                    async with driver.lease(LeaseRequest(wait_s=1)):
                        pytest.fail("there are no more kernels")

            group.start_soon(wait)
            while not (await driver.leases()).waiting:
                pass  # it has not arrived
            with pytest.raises(errors.SandboxBusy):
                async with driver.lease(LeaseRequest()):
                    pytest.fail("there is no place in the queue")
        async with anyio.create_task_group() as group:
            group.start_soon(kernel.execute, "import time; time.sleep(1)")
            await until(kernel, busy=True)
            with pytest.raises(errors.LeaseBusy):
                await kernel.execute("1")
            with pytest.raises(errors.LeaseBusy):
                await kernel.events("1")
        with pytest.raises(errors.UsageError, match="timeout_s"):
            await kernel.execute("1", -1.0)
    wait_until(sandbox.idle)


async def test_a_lease_that_is_given_back_while_it_runs(
    driver: ClientDriver, sandbox: SandboxGateway
) -> None:
    async with driver.lease(LeaseRequest()) as kernel:
        outcomes: list[type[BaseException]] = []

        async def run() -> None:
            try:
                await kernel.events("while True: pass")
            except errors.QuorumClientError as error:
                outcomes.append(type(error))

        async with anyio.create_task_group() as group, AsyncQuorumClient(sandbox.url) as other:
            group.start_soon(run)
            await until(kernel, busy=True)
            await other.ask(release_call((await kernel.show()).lease_id))
        with pytest.raises(errors.LeaseNotFound):
            await kernel.execute("1")
    assert outcomes == [errors.LeaseNotFound]


async def test_an_expired_lease_says_so(sandbox: SandboxGateway) -> None:
    async with (
        AsyncSandboxClient(sandbox.url) as client,
        client.lease(LeaseRequest(ttl_s=1)) as kernel,
    ):
        # A holder whose loop hangs sends no heartbeats.
        wait_until(sandbox.idle)
        with pytest.raises(errors.LeaseExpired, match="heartbeats"):
            await kernel.execute("1")


async def test_the_error_of_a_block_comes_out_as_it_is(sandbox: SandboxGateway) -> None:
    async with AsyncSandboxClient(sandbox.url) as client:
        with pytest.raises(ZeroDivisionError):
            async with client.lease():
                _ = 1 / 0
        with anyio.move_on_after(0.5) as scope:
            async with client.lease() as kernel:
                await kernel.execute("while True: pass", 60.0)
        assert scope.cancelled_caught
        wait_until(sandbox.idle)


async def test_a_server_whose_sandbox_is_off(url: str) -> None:
    async with AsyncSandboxClient(url) as client:
        with pytest.raises(errors.SandboxOff):
            async with client.lease():
                pytest.fail("the recorded server has no sandbox")
