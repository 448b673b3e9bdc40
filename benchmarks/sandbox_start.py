"""How fast kernels are ready: forked from a template, against cold ones with the same imports.

`python -m benchmarks.sandbox_start`. Kernels are leased from pools without spares, so the wait for
a lease is the start of its kernel: fork, confinement, sockets, greetings, seeds. The two pools take
turns in one run.
"""

import argparse
import statistics
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import anyio

from benchmarks.report import Result, finish, print_table
from sandbox.lease import KernelLease
from sandbox.pool import KernelPool
from sandbox.settings import PoolSettings
from sandbox.types import StartMethod

#: The default number of kernels on a GPU machine.
KERNELS = 16


class Bench:
    """Two pools that are open at the same time, and what was measured on them."""

    def __init__(self, pools: Mapping[StartMethod, KernelPool]) -> None:
        self.pools = pools
        #: Seconds, by way of starting and number of kernels at a time.
        self.seconds: dict[tuple[StartMethod, int], list[float]] = {}
        #: Proportional set size of each of sixteen forked kernels, in bytes.
        self.pss_bytes: list[int] = []

    async def round(self, method: StartMethod, kernels: int) -> None:
        """Take so many leases at once and note when the last one is there."""
        pool = self.pools[method]
        async with AsyncExitStack() as stack:
            begin = time.perf_counter()
            leases = [pool.lease(seed=number, owner=f"{number}") for number in range(kernels)]
            async with anyio.create_task_group() as tasks:
                for lease in leases:
                    tasks.start_soon(lease.__aenter__)
            self.seconds.setdefault((method, kernels), []).append(time.perf_counter() - begin)
            for lease in leases:
                stack.push_async_exit(lease)
            if method is StartMethod.FORK and kernels == KERNELS:
                self.pss_bytes = [pss_bytes(await pid_of(lease)) for lease in leases]
        await drained(pool)

    def median_s(self, method: StartMethod, kernels: int) -> float:
        """Return the median of the waits, in seconds."""
        return statistics.median(self.seconds[method, kernels])


async def pid_of(lease: KernelLease) -> int:
    return int((await lease.execute("import os; os.getpid()")).output)


def pss_bytes(pid: int) -> int:
    """Return a process's share of memory: its own pages, and of shared ones its part."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    (line,) = (line for line in rollup.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024


async def drained(pool: KernelPool) -> None:
    """Wait until the ended kernels are gone: their removal would be counted in the next round."""
    with anyio.fail_after(30):
        while pool.status().retiring:  # noqa: ASYNC110 - the pool has no event for it
            await anyio.sleep(0.01)


async def measure(rounds: int, cold_rounds: int) -> Bench:
    async with AsyncExitStack() as stack:
        pools = {}
        for method in (StartMethod.FORK, StartMethod.COLD):
            settings = PoolSettings(kernels=KERNELS, spares=0, start_method=method)
            pools[method] = await stack.enter_async_context(KernelPool(settings))
        bench = Bench(pools)
        # The template's own start, once in a pool's life, and the page cache.
        for method in pools:
            await bench.round(method, 1)
        bench.seconds.clear()
        for number in range(rounds):
            for kernels in (1, KERNELS):
                await bench.round(StartMethod.FORK, kernels)
            if number < cold_rounds:
                for kernels in (1, KERNELS):
                    await bench.round(StartMethod.COLD, kernels)
        report_imports(pools[StartMethod.FORK].status().import_seconds)
        return bench


def report_imports(seconds: Mapping[str, float]) -> None:
    rows = [(name, f"{took * 1e3:.0f}") for name, took in seconds.items()]
    print_table("imports of the template, in order, once", ("module", "ms"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cold-rounds", type=int, default=3)
    options = parser.parse_args()
    bench = anyio.run(partial(measure, options.rounds, options.cold_rounds))
    rows = [
        (
            f"{method.value}, {kernels}",
            len(taken),
            f"{min(taken) * 1e3:.0f}",
            f"{statistics.median(taken) * 1e3:.0f}",
            f"{max(taken) * 1e3:.0f}",
        )
        for (method, kernels), taken in bench.seconds.items()
    ]
    columns = ("kernels at once", "rounds", "least ms", "p50 ms", "most ms")
    print_table("from asking to ready", columns, rows)
    forked = bench.median_s(StartMethod.FORK, KERNELS)
    cold = bench.median_s(StartMethod.COLD, KERNELS)
    finish(
        [
            Result("sixteen_kernels_ready", forked, "s", most=0.6),
            Result("one_kernel_p50", bench.median_s(StartMethod.FORK, 1) * 1e3, "ms", most=60),
            Result("ratio_to_cold", cold / forked, "x", least=10),
            Result("pss_per_kernel", max(bench.pss_bytes) / 1e6, "MB", most=40),
        ]
    )


if __name__ == "__main__":
    main()
