"""What the journal costs and keeps: speed, share of the gateway's CPU, export, kill -9.

    make bench NAME=journal

Speed: events of 16 attempts as the solve loop makes them, as fast as the writer takes them, and
then at 40,000 tokens/s on the clock. Overhead: the real solve loop with 16 attempts on a server
that speaks llama.cpp's protocol at 100 tokens/s a stream, with events made ready to be sent to a
follower: CPU seconds of the journal's thread, and of what the loop's thread does for it, over those
of the process. The caller's HTTP, which a gateway also pays for, is left out. Two solves, with and
without a journal, differ by more than the journal: 10 % from one to the next, on a shared machine.

Export: a million tokens to JSON lines, and to Parquet where pyarrow is installed. Kill: a
process that writes a known stream is killed at random moments (`benchmarks.journal_crash`).
"""

import importlib.util
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import anyio
import typer
from rich.progress import track

from benchmarks.journal_crash import context, integrity, kill_round
from benchmarks.journal_load import Cost, Load, cost_of_solve, opened
from benchmarks.report import Result, finish, print_table
from server.journal.export import ExportFormat, export
from server.journal.journal import Journal, JournalOptions
from server.journal.reader import JournalReader, SolveFilter

ROUNDS = 200
SOLVES = 5
#: The rate that must be sustained: 16 streams of 2,500 tokens/s.
RATE = 40_000
MILLION = 1_000_000
#: Rounds on one file: it is checked whole after each.
ROUNDS_A_FILE = 10


def main(
    rounds: Annotated[int, typer.Option(help="kill -9 rounds")] = ROUNDS,
    solves: Annotated[int, typer.Option(help="solves whose CPU time is measured")] = SOLVES,
    seconds: Annotated[float, typer.Option(help="length of a measurement")] = 10.0,
    seed: Annotated[int, typer.Option(help="chooses the moments of the kills")] = 0,
) -> None:
    """Measure, print, exit 1 when a target is missed."""
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        results += anyio.run(_speed, Path(folder), seconds)
        results += anyio.run(_export, Path(folder))
        if solves:
            results += anyio.run(_overhead, Path(folder), solves, seconds)
        if rounds:
            results += _kills(Path(folder), rounds, seed)
    finish(results)


async def _speed(folder: Path, seconds: float) -> list[Result]:
    load = Load()
    async with Journal(JournalOptions(path=folder / "fast.sqlite")) as journal:
        begun, tokens = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds / 2:
            for event in load.events(journal.next_id, 1.0):
                journal.append(event)
            tokens += load.tokens_a_second
            await journal.flush()
        fastest = tokens / (time.perf_counter() - begun)
    async with Journal(JournalOptions(path=folder / "paced.sqlite")) as journal:
        cpu, begun, behind = time.process_time(), time.perf_counter(), 0.0
        await opened(journal)
        for tick in range(int(seconds * 10)):
            for event in load.events(journal.next_id, 0.1):
                journal.append(event)
            behind = max(behind, journal.status().behind_s)
            await anyio.sleep(max(begun + (tick + 1) / 10 - time.perf_counter(), 0.0))
        elapsed = time.perf_counter() - begun
        await journal.flush()
        share = (time.process_time() - cpu) / elapsed
        dropped = journal.status().dropped
    return [
        Result("journal_fastest", fastest, "tokens/s", least=RATE),
        Result("behind_at_40000", behind, "s", most=1.0),
        Result("dropped_at_40000", dropped, "events", most=0),
        Result("core_at_40000", 100 * share, "% of a core, making the events included"),
    ]


async def _overhead(folder: Path, solves: int, seconds: float) -> list[Result]:
    costs: list[Cost] = []
    for number in track(range(solves), description="solves"):
        async with Journal(JournalOptions(path=folder / f"cost-{number}.sqlite")) as journal:
            costs.append(await cost_of_solve(journal, seconds))
    shares = [100 * cost.journal_s / cost.process_s for cost in costs]
    print_table(
        f"CPU seconds of solves of {seconds:g} s, 16 attempts at 100 tokens/s",
        ["solve", "process", "journal", "share"],
        [
            (number, f"{cost.process_s:.3f}", f"{cost.journal_s:.4f}", f"{share:.2f} %")
            for number, (cost, share) in enumerate(zip(costs, shares, strict=True), start=1)
        ],
    )
    core = 100 * statistics.median(cost.process_s for cost in costs) / seconds
    return [
        Result("gateway_cpu", core, "% of a core"),
        Result("journal_share", statistics.median(shares), "% of gateway CPU", most=3.0),
    ]


async def _export(folder: Path) -> list[Result]:
    load = Load()
    path = folder / "million.sqlite"
    async with Journal(JournalOptions(path=path)) as journal:
        await opened(journal)
        for _ in range(MILLION // load.tokens_a_second):
            for event in load.events(journal.next_id, 1.0):
                journal.append(event)
            await journal.flush()
        for event in load.closing(journal.next_id):
            journal.append(event)
    formats = [ExportFormat.JSONL]
    if importlib.util.find_spec("pyarrow"):
        formats.append(ExportFormat.PARQUET)
    results = []
    with JournalReader(path) as reader:
        for file_format in formats:
            target = folder / f"million.{file_format}"
            begun = time.perf_counter()
            export(reader, target, file_format, SolveFilter())
            took = time.perf_counter() - begun
            results.append(Result(f"export_million_{file_format}", took, "s", most=10.0))
            size = target.stat().st_size / MILLION
            results.append(Result(f"export_size_{file_format}", size, "bytes/token"))
    results.append(Result("journal_size", path.stat().st_size / MILLION, "bytes/token"))
    return results


def _kills(folder: Path, rounds: int, seed: int) -> list[Result]:
    source = random.Random(seed)
    processes = context()
    lost: list[float] = []
    corrupt = 0
    for number in track(range(rounds), description="kills"):
        path = folder / f"kills-{number // ROUNDS_A_FILE}.sqlite"
        found = kill_round(processes, path, f"solve-{number}", source)
        lost.append(found.lost_s)
        faults = found.faults + ([] if (said := integrity(path)) == "ok" else [said])
        if faults:
            corrupt += 1
            print(f"round {number}, killed after {found.life_s:.3f} s: {'; '.join(faults[:5])}")
        if number % ROUNDS_A_FILE == ROUNDS_A_FILE - 1:
            path.unlink()
    return [
        Result("kill_rounds", rounds, "rounds", least=ROUNDS),
        Result("kill_corrupt", corrupt, "rounds", most=0),
        Result("kill_lost_median", statistics.median(lost), "s"),
        Result("kill_lost_most", max(lost), "s", most=1.0),
    ]


if __name__ == "__main__":
    typer.run(main)
