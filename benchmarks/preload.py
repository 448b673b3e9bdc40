"""How fast cold model files come into the page cache, against cat and against direct reads.

    make bench NAME=preload ARGS="--rounds 10 --size-gib 1"

Each round reads the same files four ways, in an order that changes from round to round, each time
made cold first (fsync, posix_fadvise DONTNEED, checked by mincore): `quorum preload`, `cat` to
/dev/null, and `dd` with direct reads of 16 MiB, one and four at a time. Direct reads fill no page
cache: they stand for what the disk gives. Predicted: on one virtual disk the preload reaches direct
reads at a queue of four, and twice cat, whose read-ahead window is small.
"""

import os
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import anyio
import typer
from rich.progress import track

from benchmarks.report import Result, finish, print_table
from server.preload import residency
from server.preload.plan import find_files
from server.preload.preload import PreloadOptions, preload

GIB = 1 << 30
FILES = 4
#: dd's block: large enough that its count of calls does not matter.
BLOCK = "16M"
RESAMPLES = 10_000

Reader = Callable[[Path], None]


def main(
    folder: Annotated[Path | None, typer.Option(help="a model's folder; else files made")] = None,
    rounds: Annotated[int, typer.Option(min=3)] = 10,
    size_gib: Annotated[float, typer.Option(help="size of the files made, together")] = 1.0,
    where: Annotated[Path | None, typer.Option(help="disk on which to make files")] = None,
) -> None:
    """Measure, print, exit 1 when a target is missed."""
    if folder is not None:
        finish(_measure(folder, rounds))
    with tempfile.TemporaryDirectory(prefix="quorum-bench-", dir=where or Path.cwd()) as made:
        _write(Path(made), size_gib)
        results = _measure(Path(made), rounds)
    finish(results)


def _write(folder: Path, size_gib: float) -> None:
    block = os.urandom(1 << 24)
    for number in range(FILES):
        with (folder / f"model-{number}.safetensors").open("wb") as file:
            for _ in range(max(int(size_gib * GIB / FILES) // len(block), 1)):
                file.write(block)


def _measure(folder: Path, rounds: int) -> list[Result]:
    readers: dict[str, Reader] = {
        "preload": _preload,
        "cat": _cat,
        "dd_1": lambda path: _direct(path, 1),
        "dd_4": lambda path: _direct(path, 4),
    }
    size = sum(file.stat().st_size for file in find_files(folder))
    speeds: dict[str, list[float]] = {name: [] for name in readers}
    kept: list[float] = []
    order = random.Random(0)
    for _ in track(range(rounds), description="rounds"):
        for name in order.sample(list(readers), len(readers)):
            _make_cold(folder)
            begun = time.perf_counter()
            readers[name](folder)
            speeds[name].append(size / 1e9 / (time.perf_counter() - begun))
            if name == "preload":
                kept.append(100 * (1 - _missing(folder) / size))
    rows = [
        (name, *(f"{value:.2f}" for value in (min(each), statistics.median(each), max(each))))
        for name, each in speeds.items()
    ]
    print_table(
        f"{size / GIB:.2f} GiB, {rounds} rounds, GB/s", ("", "least", "median", "most"), rows
    )
    # Of the rounds the median: a machine that is short of memory takes pages back at once.
    in_cache = Result("in_cache_afterwards", statistics.median(kept), "%", least=99.0)
    return [*_results(speeds), Result("in_cache_least", min(kept), "%"), in_cache]


def _results(speeds: dict[str, list[float]]) -> list[Result]:
    ours = speeds["preload"]
    limit = max((speeds["dd_1"], speeds["dd_4"]), key=statistics.median)
    cat_ratio, _, _ = _ratio(ours, speeds["cat"])
    ratio, low, high = _ratio(ours, limit)
    return [
        Result("preload_speed", statistics.median(ours), "GB/s"),
        Result("preload_to_cat", cat_ratio, "ratio", least=1.5),
        Result("preload_to_direct", ratio, "ratio"),
        Result("preload_to_direct_interval_low", low, "ratio"),
        Result("preload_to_direct_interval_high", high, "ratio", least=0.95),
    ]


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Return the median of the rounds' ratios and its 95 % bootstrap interval."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    draw = random.Random(0)
    medians = sorted(
        statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES)
    )
    low, high = medians[int(0.025 * RESAMPLES)], medians[int(0.975 * RESAMPLES)]
    return statistics.median(ratios), low, high


def _preload(folder: Path) -> None:
    anyio.run(preload, folder, PreloadOptions(keep_free_bytes=0))


def _cat(folder: Path) -> None:
    _run(["cat", *map(str, find_files(folder))])


def _direct(folder: Path, at_a_time: int) -> None:
    queue = find_files(folder)
    while queue:
        batch, queue = queue[:at_a_time], queue[at_a_time:]
        readers = [
            subprocess.Popen(
                ["dd", f"if={file}", "of=/dev/null", f"bs={BLOCK}", "iflag=direct"],
                stderr=subprocess.DEVNULL,
            )
            for file in batch
        ]
        codes = [reader.wait() for reader in readers]
        if any(codes):
            raise SystemExit("dd: must read directly: give --where a disk that allows it")


def _run(command: list[str]) -> None:
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def _make_cold(folder: Path) -> None:
    for file in find_files(folder):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    size = sum(file.stat().st_size for file in find_files(folder))
    if _missing(folder) < size:
        raise SystemExit(f"{folder}: must be on a disk whose cache can be dropped; give --where")


def _missing(folder: Path) -> int:
    total = 0
    for file in find_files(folder):
        with file.open("rb") as opened:
            total += residency.missing_bytes(opened.fileno(), 0, file.stat().st_size)
    return total


if __name__ == "__main__":
    typer.run(main)
