"""What confinement adds to a kernel's start, by mechanism, and how long the probe takes.

`python -m benchmarks.sandbox_confinement`. Kernels are leased one at a time, without spares, from
pools that fork them from equal templates and differ in their mechanisms; the pools take turns.
"""

import argparse
import statistics
import time
from contextlib import AsyncExitStack

import anyio

from benchmarks.report import Result, finish, print_table
from sandbox.confinement import probe
from sandbox.confinement.confinement import Confinement
from sandbox.inside.confinement import Mechanism
from sandbox.pool import KernelPool
from sandbox.settings import PoolSettings

#: A quarter of the 60 ms in which a kernel is to be ready.
MOST_ADDED_MS = 15.0

#: A pool opens once; the imports of its template take as long, and go on meanwhile.
MOST_PROBE_S = 1.5

NONE: frozenset[Mechanism] = frozenset()


class Variant:
    """A pool that is open, whose kernels are confined by these mechanisms alone."""

    def __init__(self, name: str, pool: KernelPool) -> None:
        self.name = name
        self.pool = pool
        self.seconds: list[float] = []

    async def start_one(self, seed: int) -> None:
        """Lease a kernel, and wait until all of it is gone."""
        begin = time.perf_counter()
        async with self.pool.lease(seed=seed, owner="benchmark"):
            self.seconds.append(time.perf_counter() - begin)
        status = self.pool.status()
        while status.retiring or status.leased:
            await anyio.sleep(0.01)
            status = self.pool.status()

    @property
    def median_ms(self) -> float:
        """Of all starts but the first."""
        return statistics.median(self.seconds) * 1000


async def measure(starts: int) -> tuple[list[Variant], float, frozenset[Mechanism]]:
    settings = PoolSettings(kernels=1, spares=0)
    begin = time.perf_counter()
    async with probe.open_confinement(settings) as confinement:
        probe_s = time.perf_counter() - begin
        available = confinement.mechanisms
    async with AsyncExitStack() as stack:
        variants = []
        for name, mechanisms in (
            ("limits alone", NONE),
            *((mechanism.value, frozenset({mechanism})) for mechanism in sorted(available)),
            ("all of them", available),
        ):
            pool = await stack.enter_async_context(KernelPool(settings))
            confine_by(pool, mechanisms)
            variants.append(Variant(name, pool))
        for number in range(starts + 1):
            for variant in variants:
                await variant.start_one(number)
    for variant in variants:
        # The first one waited for the template.
        del variant.seconds[0]
    return variants, probe_s, available


def confine_by(pool: KernelPool, mechanisms: frozenset[Mechanism]) -> None:
    """Leave the other mechanisms out, which no setting does."""
    confinement = vars(pool)["_confinement"]
    if not isinstance(confinement, Confinement):
        raise TypeError("the pool keeps its confinement elsewhere now: adapt this benchmark")
    confinement.mechanisms = mechanisms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=30, help="kernels of each kind")
    starts = parser.parse_args().starts
    variants, probe_s, _ = anyio.run(measure, starts)
    base = variants[0].median_ms
    print_table(
        f"A kernel's start by its confinement (median of {starts})",
        ("mechanisms", "ms", "added ms"),
        [(v.name, f"{v.median_ms:.1f}", f"{v.median_ms - base:+.1f}") for v in variants],
    )
    finish(
        [
            Result("confinement_added", variants[-1].median_ms - base, "ms", most=MOST_ADDED_MS),
            Result("confined_start", variants[-1].median_ms, "ms"),
            Result("probe", probe_s, "s", most=MOST_PROBE_S),
        ]
    )


if __name__ == "__main__":
    main()
