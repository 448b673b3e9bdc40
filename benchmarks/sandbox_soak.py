"""Twenty thousand cells and a thousand leases, hostile cells among them: what is left behind.

    make bench NAME=sandbox_soak ARGS="--cells 2000 --leases 100"

What the pool's process and the system hold is counted before the pool opens and after it has
closed: descriptors, threads, processes, sockets, files and folders, shared memory. Memory is
measured while the pool is idle, after the first tenth of the cells and at the end. The answers of
the ordinary cells are checked: each comes after, or beside, hostile ones of other leases.
"""

import gc
import os
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated

import anyio
import psutil
import typer
from rich.console import Console
from rich.progress import Progress, TaskID

from benchmarks.report import Result, finish, print_table
from benchmarks.soak_cells import SoakCell, hostile, ordinary
from sandbox.lease import KernelLease
from sandbox.pool import KernelPool
from sandbox.settings import PoolSettings
from sandbox.types import PoolStatus

#: The share of the cells after which memory must stay where it is.
WARM_SHARE = 0.1
MOST_GROWTH = 0.05

#: A kernel that is being started or cleaned up behind is done within this time.
_QUIET_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Holdings:
    """What this process and its pool hold of the system."""

    descriptors: int
    threads: int
    processes: int
    sockets: int
    directories: int
    shared_memory: int

    @classmethod
    def count(cls, folder: Path) -> "Holdings":
        """Count; `folder` is where the pool has its directory."""
        gc.collect()
        process = psutil.Process()
        return cls(
            process.num_fds(),
            process.num_threads(),
            len({child.pid for child in process.children(recursive=True)} | _users_of(folder)),
            sum(str(folder) in line for line in Path("/proc/net/unix").read_text().splitlines()),
            sum(1 for _ in folder.rglob("*")),
            len(os.listdir("/dev/shm")),  # noqa: PTH208, S108 - names alone
        )


@dataclass(slots=True)
class Tally:
    """What has happened so far."""

    statuses: Counter[str] = field(default_factory=Counter)
    cells: int = 0
    wrong: list[tuple[str, str]] = field(default_factory=list)
    longest_lease_wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory in bytes, the pool being idle: of this process, and of its helpers."""

    own: int
    helpers: int

    def growth(self, since: "Memory") -> float:
        """The larger of the two growths, as a share."""
        return max(self.own / since.own, self.helpers / max(since.helpers, 1)) - 1


@dataclass(frozen=True, slots=True)
class Soaked:
    """A whole run; the memory after its first cells, and after its last."""

    leases: int
    tally: Tally
    status: PoolStatus
    early: Memory
    late: Memory
    seconds: float


def main(
    cells: Annotated[int, typer.Option(help="cells in all")] = 20_000,
    leases: Annotated[int, typer.Option(help="leases in all")] = 1_000,
    share: Annotated[float, typer.Option(help="share of hostile cells")] = 0.05,
    kernels: Annotated[int, typer.Option(help="leases at a time")] = 4,
    seed: Annotated[int, typer.Option(help="chooses the cells")] = 0,
) -> None:
    """Soak, print, exit 1 when a target is missed."""
    chance = random.Random(seed)
    work = [
        [hostile(chance) if chance.random() < share else ordinary(chance) for _ in range(size)]
        for size in _shares(cells, leases)
    ]
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # kernels have users of their own
        # A first pool, so that what a process loads once and keeps is there before the count.
        anyio.run(_soak, folder, work[:1], 1)
        before = Holdings.count(folder)
        soaked = anyio.run(_soak, folder, work, kernels)
        after = Holdings.count(folder)
    _print(soaked)
    names = [one.name for one in fields(Holdings)]
    counts = [(name, getattr(before, name), getattr(after, name)) for name in names]
    print_table("Held by the process and the system", ("what", "before", "after"), counts)
    left = [Result(f"{name}_left", end - start, name, most=0) for name, start, end in counts]
    finish([*_results(soaked), *left])


def _shares(cells: int, leases: int) -> list[int]:
    """How many cells each lease gets."""
    return [cells // leases + (index < cells % leases) for index in range(leases)]


async def _soak(folder: Path, work: list[list[SoakCell]], kernels: int) -> Soaked:
    tally = Tally()
    begun = time.monotonic()
    async with KernelPool(_settings(folder, kernels)) as pool:
        warm = max(int(len(work) * WARM_SHARE), 1)
        with Progress(console=Console(stderr=True)) as progress:
            bar = progress.add_task("leases", total=len(work))
            await _run_all(pool, work[:warm], tally, progress, bar)
            early = await _idle_memory(pool)
            await _run_all(pool, work[warm:], tally, progress, bar)
            late = await _idle_memory(pool)
        status = pool.status()
    return Soaked(len(work), tally, status, early, late, time.monotonic() - begun)


def _print(soaked: Soaked) -> None:
    tally = soaked.tally
    print_table("Cells", ("status", "number"), sorted(tally.statuses.items()))
    lost = {str(reason): number for reason, number in soaked.status.lost.items()}
    print_table("Kernels lost and replaced", ("reason", "number"), sorted(lost.items()))
    for code, output in tally.wrong[:5]:
        print(f"wrong: {code!r} showed {output!r}")


def _results(soaked: Soaked) -> list[Result]:
    tally = soaked.tally
    return [
        Result("cells", tally.cells, "cells"),
        Result("leases", soaked.leases, "leases"),
        Result("cells_per_second", tally.cells / soaked.seconds, "1/s"),
        Result("wrong_answers", len(tally.wrong), "cells", most=0),
        Result("longest_lease_wait", tally.longest_lease_wait_s, "s"),
        Result("memory", soaked.late.own / 2**20, "MiB"),
        Result("helpers_memory", soaked.late.helpers / 2**20, "MiB"),
        Result("memory_growth", soaked.late.growth(soaked.early), "share", most=MOST_GROWTH),
    ]


def _settings(folder: Path, kernels: int) -> PoolSettings:
    return PoolSettings(kernels=kernels, spares=kernels, interrupt_grace_s=0.2, directory=folder)


async def _run_all(
    pool: KernelPool, work: list[list[SoakCell]], tally: Tally, progress: Progress, bar: TaskID
) -> None:
    waiting = iter(work)

    async def take_leases() -> None:
        for cells in waiting:
            await _lease(pool, cells, tally)
            progress.advance(bar)

    async with anyio.create_task_group() as tasks:
        for _ in range(pool.settings.kernels):
            tasks.start_soon(take_leases)


async def _lease(pool: KernelPool, cells: list[SoakCell], tally: Tally) -> None:
    begun = time.monotonic()
    async with pool.lease(seed=1, owner="soak") as lease:
        tally.longest_lease_wait_s = max(tally.longest_lease_wait_s, time.monotonic() - begun)
        attacked = False
        for cell in cells:
            await _run(lease, cell, tally, check=not attacked)
            attacked = attacked or cell.expected is None


async def _run(lease: KernelLease, cell: SoakCell, tally: Tally, *, check: bool) -> None:
    """Run a cell; after a hostile one its own lease may answer anything."""
    result = await lease.execute(cell.code, cell.limit_s)
    tally.cells += 1
    tally.statuses[str(result.status)] += 1
    if check and cell.expected is not None and result.output != cell.expected:
        tally.wrong.append((cell.code, result.output))


async def _idle_memory(pool: KernelPool) -> Memory:
    """Resident memory when no kernel is being started or cleaned up behind."""
    with anyio.move_on_after(_QUIET_WAIT_S):
        while (status := pool.status()).starting or status.retiring:  # noqa: ASYNC110 - a benchmark
            await anyio.sleep(0.05)
    gc.collect()
    process = psutil.Process()
    # Its own children; kernels are the template's.
    helpers = sum(child.memory_info().rss for child in process.children())
    return Memory(process.memory_info().rss, helpers)


def _users_of(folder: Path) -> set[int]:
    """Ids of the processes whose HOME is in a folder."""
    needle = f"HOME={folder}/".encode()
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if needle in path.read_bytes():
                found.add(int(path.parent.name))
        except OSError:
            continue
    return found


if __name__ == "__main__":
    typer.run(main)
