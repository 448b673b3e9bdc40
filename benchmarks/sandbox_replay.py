"""Recorded cells through our pool and, in the same run, twice through stock kernels.

    make bench NAME=sandbox_replay ARGS="--data cells.jsonl --sample 500"

Attempt by attempt, in turns: a lease of ours, a stock kernel, another one; all with the same
start-up cell, seeds, threads and hash seed. Outputs are compared as `benchmarks.replay_text` says,
over the cells that time out on no side and on which the two stock runs agree. Intended differences
are counted as equal and listed; one is that ours keeps a cell's names where stock did not heed its
interrupt, was replaced and knows them no more. Without `--data` the project's own few cells are
run.

With `--record` each finished attempt is kept in a file, and a run that finds the file goes on
where it ended.
"""

import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer
from rich.console import Console
from rich.progress import Progress

from benchmarks.replay_cells import Attempt, read_attempts, sample
from benchmarks.replay_sides import NO_INSTALLING, Ran, Side, our_side, stock_side
from benchmarks.replay_text import Verdict, agrees_with_record, compare, normalised
from benchmarks.report import Result, finish, print_table
from sandbox.pool import KernelPool
from sandbox.settings import PoolSettings

OWN_CELLS = Path(__file__).parent / "data" / "cells.jsonl"

#: The share of cells on which ours must show what stock shows.
LEAST_EQUAL = 0.999

OURS, STOCK, AGAIN = "ours", "stock", "stock again"
SIDES = (OURS, STOCK, AGAIN)

#: Characters of each output that `--show` prints.
_SHOWN = 600


@dataclass(slots=True)
class Played:
    """One attempt on all sides; `walls` are seconds with the start of the kernel."""

    attempt: Attempt
    ran: dict[str, list[Ran]] = field(default_factory=dict)
    walls: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """What the comparison has counted."""

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    timed_out: int = 0
    unlike_stock: int = 0
    recorded: int = 0
    as_recorded: int = 0
    stock_as_recorded: int = 0
    differences: list[tuple[str, str, str]] = field(default_factory=list)
    intended: list[tuple[str, Verdict]] = field(default_factory=list)


def main(
    data: Annotated[Path, typer.Option(help="recorded cells, JSON lines")] = OWN_CELLS,
    number: Annotated[int, typer.Option("--sample", help="so many cells, at random")] = 500,
    everything: Annotated[bool, typer.Option("--all", help="all cells")] = False,
    seed: Annotated[int, typer.Option(help="chooses the sample")] = 0,
    limit: Annotated[float, typer.Option(help="time-out of a cell, seconds")] = 6.0,
    workers: Annotated[int, typer.Option(help="attempts at a time")] = 1,
    record: Annotated[Path | None, typer.Option(help="keep finished attempts, go on")] = None,
    show: Annotated[int, typer.Option(help="differences to print")] = 5,
) -> None:
    """Replay, compare, print, exit 1 when a target is missed."""
    attempts = read_attempts(data)
    if not everything:
        attempts = sample(attempts, number, seed)
    played = _recorded(record, attempts)
    done = {one.attempt.name for one in played}
    rest = [attempt for attempt in attempts if attempt.name not in done]
    played += anyio.run(_replay, rest, limit, workers, record)
    _report(played, show)


def _recorded(record: Path | None, attempts: Iterable[Attempt]) -> list[Played]:
    if record is None or not record.exists():
        return []
    by_name = {attempt.name: attempt for attempt in attempts}
    played = []
    for line in record.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if attempt := by_name.get(row["name"]):
            ran = {side: [Ran(**one) for one in cells] for side, cells in row["ran"].items()}
            played.append(Played(attempt, ran, row["walls"]))
    return played


async def _replay(
    attempts: list[Attempt], limit_s: float, workers: int, record: Path | None
) -> list[Played]:
    played: list[Played] = []
    waiting = iter(enumerate(attempts))
    cells = sum(len(attempt.cells) for attempt in attempts)
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("cells", total=cells * len(SIDES))

        async def work() -> None:
            for number, attempt in waiting:
                one = Played(attempt)
                # In turns, so that no side has the quieter machine.
                first = number % len(SIDES)
                for side in SIDES[first:] + SIDES[:first]:
                    await _play(pool, side, one, limit_s)
                    progress.advance(bar, len(attempt.cells))
                played.append(one)
                _keep(record, one)

        settings = PoolSettings(kernels=workers, spares=workers, environment=NO_INSTALLING)
        async with KernelPool(settings) as pool:
            await pool.wait_ready()
            async with anyio.create_task_group() as tasks:
                for _ in range(workers):
                    tasks.start_soon(work)
    return played


async def _play(pool: KernelPool, side: str, played: Played, limit_s: float) -> None:
    with tempfile.TemporaryDirectory(prefix="stock-", ignore_cleanup_errors=True) as folder:
        context: AbstractAsyncContextManager[Side]
        context = our_side(pool, played.attempt.name) if side == OURS else stock_side(folder)
        begun = time.monotonic()
        async with context as kernel:
            played.ran[side] = [
                await kernel.run(cell.code, limit_s) for cell in played.attempt.cells
            ]
        played.walls[side] = time.monotonic() - begun


def _keep(record: Path | None, played: Played) -> None:
    if record is None:
        return
    ran: dict[str, Any] = {side: [asdict(one) for one in ran] for side, ran in played.ran.items()}
    row = {"name": played.attempt.name, "ran": ran, "walls": played.walls}
    with record.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _report(played: list[Played], show: int) -> None:
    tally = Tally()
    for one in played:
        for index in range(len(one.attempt.cells)):
            _count(tally, one, index)
    _print_differences(tally, show)
    print_table(
        "Cells by side",
        ("side", "cells", "cells/s", "p50 ms", "p99 ms", "timed out", "died"),
        [_side_row(played, side) for side in SIDES],
    )
    finish(_results(tally, played))


def _count(tally: Tally, played: Played, index: int) -> None:
    ours, stock, again = (played.ran[side][index] for side in SIDES)
    recorded = played.attempt.cells[index].output
    if recorded is not None:
        tally.recorded += 1
        tally.as_recorded += agrees_with_record(ours.shown, recorded)
        tally.stock_as_recorded += agrees_with_record(_whole(stock), recorded)
    if ours.timed_out or stock.timed_out or again.timed_out:
        tally.timed_out += 1
        return
    if normalised(_whole(stock)) != normalised(_whole(again)):
        tally.unlike_stock += 1
        return
    verdict = compare(ours.shown, stock.shown, stock.error, cut=ours.cut)
    if verdict is Verdict.DIFFERENT and _kept_alone(played, index):
        verdict = Verdict.STATE_KEPT
    tally.verdicts[verdict] += 1
    where = f"{played.attempt.name} cell {index}"
    if verdict is Verdict.DIFFERENT:
        tally.differences.append((where, ours.shown, _whole(stock)))
    elif verdict is not Verdict.EQUAL:
        tally.intended.append((where, verdict))


def _kept_alone(played: Played, index: int) -> bool:
    """Tell whether stock misses a name that went with its kernel, while ours never lost one."""
    missing = (played.ran[STOCK][index].error or "").startswith("NameError")
    lost = {side for side in SIDES if any(cell.lost for cell in played.ran[side][:index])}
    return missing and lost == {STOCK, AGAIN}


def _whole(ran: Ran) -> str:
    return ran.shown if ran.error is None else f"{ran.shown}\n{ran.error}"


def _print_differences(tally: Tally, show: int) -> None:
    for where, ours, stock in tally.differences[:show]:
        print(f"--- {where}\nours:  {ours[-_SHOWN:]!r}\nstock: {stock[-_SHOWN:]!r}")
    if tally.intended:
        print_table("Intended differences", ("cell", "why"), tally.intended)


def _side_row(played: list[Played], side: str) -> tuple[object, ...]:
    ran = [cell for one in played for cell in one.ran[side]]
    times = sorted(cell.seconds for cell in ran)
    rate = len(ran) / sum(one.walls[side] for one in played)
    return (
        side,
        len(ran),
        f"{rate:.2f}",
        f"{statistics.median(times) * 1000:.2f}",
        f"{times[int(len(times) * 0.99)] * 1000:.0f}",
        sum(cell.timed_out for cell in ran),
        sum(cell.died for cell in ran),
    )


def _replaced(played: list[Played]) -> float:
    """Return how many kernels a run of stock lost, the mean of the two."""
    return sum(cell.lost for one in played for s in (STOCK, AGAIN) for cell in one.ran[s]) / 2


def _results(tally: Tally, played: list[Played]) -> list[Result]:
    compared = tally.verdicts.total()
    equal = compared - tally.verdicts[Verdict.DIFFERENT]
    pairs = [
        (ours.seconds - stock.seconds) * 1000
        for one in played
        for ours, stock in zip(one.ran[OURS], one.ran[STOCK], strict=True)
        if not (ours.timed_out or stock.timed_out)
    ]
    ours = [cell for one in played for cell in one.ran[OURS]]
    rate = len(ours) / sum(one.walls[OURS] for one in played)
    stock_rate = len(ours) / sum(one.walls[STOCK] for one in played)
    return [
        Result("cells_compared", compared, "cells"),
        Result("cells_timed_out", tally.timed_out, "cells"),
        Result("cells_stock_disagrees", tally.unlike_stock, "cells"),
        Result("equal_to_stock", equal / max(compared, 1), "share", least=LEAST_EQUAL),
        Result("intended_differences", len(tally.intended), "cells"),
        Result("equal_to_record", tally.as_recorded / max(tally.recorded, 1), "share"),
        Result("stock_to_record", tally.stock_as_recorded / max(tally.recorded, 1), "share"),
        Result("kernels_lost", sum(cell.died for cell in ours), "kernels", most=0),
        Result("replaced_after_time_out", sum(cell.lost for cell in ours), "kernels"),
        Result("stock_replaced_after_time_out", _replaced(played), "kernels"),
        Result("cells_per_second", rate, "1/s"),
        Result("stock_cells_per_second", stock_rate, "1/s"),
        Result("overhead_per_cell", statistics.median(pairs), "ms"),
    ]


if __name__ == "__main__":
    typer.run(main)
