"""How long a warm cell takes, against stock Jupyter kernels and clients in the same run.

`python -m benchmarks.sandbox_latency`. Our lease and two stock ways (AsyncKernelClient and
BlockingKernelClient, each with a kernel of its own) run the same cell in turns. A cell counts until
its reply and its idle status have come, on all sides. Where our time goes is shown by what is left
when parts are taken away: an empty cell, a greeting, a bare echo over the same kind of socket.
"""

import argparse
import multiprocessing
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import zmq
import zmq.asyncio
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import AsyncKernelManager

from benchmarks.report import Result, finish, print_table
from sandbox.directory import PoolDirectory
from sandbox.execution import handshake
from sandbox.forked import ForkedFactory
from sandbox.pool import KernelPool
from sandbox.settings import PoolSettings

CELL = "1+1"
KERNELS = 16

#: Cells of each side before the first that counts.
WARM_UP = 30

#: Runs one cell and returns when it is done.
Side = Callable[[str], Awaitable[object]]


@asynccontextmanager
async def stock_manager() -> AsyncIterator[Any]:
    manager = AsyncKernelManager()
    await manager.start_kernel(stderr=subprocess.DEVNULL)
    try:
        yield manager
    finally:
        await manager.shutdown_kernel(now=True)


@asynccontextmanager
async def stock_async() -> AsyncIterator[Side]:
    async with stock_manager() as manager:
        client = manager.client()
        client.start_channels()
        await client.wait_for_ready(timeout=60)

        async def run(code: str) -> object:
            return await client.execute_interactive(code, output_hook=ignore, timeout=60)

        try:
            yield run
        finally:
            client.stop_channels()


@asynccontextmanager
async def stock_blocking() -> AsyncIterator[Side]:
    async with stock_manager() as manager:
        client = BlockingKernelClient()
        client.load_connection_info(manager.get_connection_info())
        client.start_channels()
        await anyio.to_thread.run_sync(partial(client.wait_for_ready, timeout=60))

        async def run(code: str) -> object:
            # Nothing else runs in this loop meanwhile: the blocking client at its best.
            return client.execute_interactive(code, output_hook=ignore, timeout=60)

        try:
            yield run
        finally:
            client.stop_channels()


def ignore(_: object) -> None:
    """Take a message of output."""


@asynccontextmanager
async def echo() -> AsyncIterator[Side]:
    """A round trip over ZMQ's local sockets to another process that does nothing."""
    with tempfile.TemporaryDirectory(prefix="qe-") as folder:
        address = f"ipc://{Path(folder) / 'echo'}"
        process = multiprocessing.get_context("spawn").Process(target=serve_echo, args=(address,))
        process.start()
        context = zmq.asyncio.Context()
        socket = context.socket(zmq.DEALER)
        socket.connect(address)

        async def run(code: str) -> object:
            await socket.send(code.encode())
            return await socket.recv()

        try:
            yield run
        finally:
            await socket.send(b"")
            context.destroy()
            process.join()


def serve_echo(address: str) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.bind(address)
        while True:
            sender, message = socket.recv_multipart()
            if not message:
                return
            socket.send_multipart([sender, message])


async def take_turns(sides: Mapping[str, Side], cells: int) -> dict[str, list[float]]:
    """Run each side's cell in turns; returns milliseconds."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(WARM_UP + cells):
        for name, run in sides.items():
            begin = time.perf_counter()
            await run(CELL)
            if number >= WARM_UP:
                taken[name].append((time.perf_counter() - begin) * 1e3)
    return taken


async def parallel(pool: KernelPool, cells: int) -> list[float]:
    """The milliseconds of cells on sixteen kernels at the same time."""
    taken: list[float] = []

    async def attempt(number: int) -> None:
        async with pool.lease(seed=number, owner=f"{number}") as kernel:
            for _ in range(cells // KERNELS):
                result = await kernel.execute(CELL)
                taken.append(result.seconds * 1e3)

    async with anyio.create_task_group() as tasks:
        for number in range(KERNELS):
            tasks.start_soon(attempt, number)
    return taken


async def measure(cells: int) -> tuple[dict[str, list[float]], list[float]]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        settings = PoolSettings(kernels=KERNELS, spares=1)
        pool = await enter(KernelPool(settings))
        lease = await enter(pool.lease(seed=0, owner="latency"))
        directory = await enter(PoolDirectory(None))
        factory = await enter(ForkedFactory(settings, directory))
        bare = await factory.start()
        stack.push_async_callback(bare.aclose)

        async def greet(_: str) -> object:
            return await handshake(bare.channels, bare.process)

        async def empty(_: str) -> object:
            return await lease.execute("")

        sides: dict[str, Side] = {
            "ours": lease.execute,
            "stock, asynchronous": await enter(stock_async()),
            "stock, blocking": await enter(stock_blocking()),
            "ours, empty cell": empty,
            "ours, greeting only": greet,
            "socket echo only": await enter(echo()),
        }
        taken = await take_turns(sides, cells)
        lease.release()
        return taken, await parallel(pool, cells)


def percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=500, help="of each side")
    options = parser.parse_args()
    taken, at_once = anyio.run(measure, options.cells)
    rows = [
        (
            name,
            len(values),
            f"{percentile(values, 50):.2f}",
            f"{percentile(values, 90):.2f}",
            f"{percentile(values, 99):.2f}",
        )
        for name, values in {**taken, f"ours, {KERNELS} at once": at_once}.items()
    ]
    print_table(f"a warm `{CELL}`, in turns", ("side", "cells", "p50 ms", "p90", "p99"), rows)
    ours = taken["ours"]
    stock = min(percentile(taken[name], 50) for name in taken if name.startswith("stock"))
    finish(
        [
            Result("warm_cell_p50", percentile(ours, 50), "ms", most=3),
            Result("warm_cell_p99", percentile(ours, 99), "ms", most=10),
            Result("faster_than_stock", stock / percentile(ours, 50), "x", least=1),
            Result("sixteen_at_once_p50", percentile(at_once, 50), "ms"),
        ]
    )


if __name__ == "__main__":
    main()
