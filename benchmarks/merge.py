"""What a merge into MXFP4 costs and loses: one expert tensor of gpt-oss-120b, at full size.

    make bench NAME=merge

The tensor is gate_up_proj of one layer: 128 experts of 5,760 by 2,880 weights, 1.1 GB on disk, with
random codes and a random LoRA of rank 32. It is merged from file to file by what `quorum train
merge` calls. The peer is the straightforward way in vectorised float32 numpy, with as many threads,
in memory alone: dequantise, add, quantise with the one exponent that the OCP specification names.
It is timed on a few experts between pieces of our work and scaled. The limit is a plain copy of the
file. Peak memory is that of a process that does nothing but merge.
"""

import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import numba
import numpy as np
import typer
from numpy.typing import NDArray
from safetensors.numpy import save_file

from benchmarks.report import Result, finish, print_table
from training.merge.adapter import Factors
from training.merge.base import open_base
from training.merge.mxfp4 import (
    BIAS,
    BLOCK,
    MAGNITUDES,
    VALUES,
    Bytes,
    Floats,
    dequantise,
    merge_rows,
    quantise,
)
from training.merge.tensor_file import write_at
from training.merge.tensors import merge_quantised

EXPERTS, ROWS, COLUMNS, RANK = 128, 5_760, 2_880, 32
NAME = "model.layers.0.mlp.experts.gate_up_proj"
GRID: Floats = np.array(MAGNITUDES, np.float32)
#: Half way between magnitudes: where rounding changes.
EDGES: Floats = ((GRID[1:] + GRID[:-1]) / 2).astype(np.float32)


def main(
    experts: Annotated[int, typer.Option(help="experts of the tensor")] = EXPERTS,
    compared: Annotated[int, typer.Option(help="experts that the peer is timed on")] = 4,
    rounds: Annotated[int, typer.Option(help="rounds of the peer's timing")] = 3,
) -> None:
    """Measure, print, exit 1 when a target is missed."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        _write_tensor(folder, experts)
        context = multiprocessing.get_context("spawn")
        with context.Pool(1, maxtasksperchild=1) as pool:
            seconds, peak, cosine = pool.apply(merge_file, (folder, experts))
        copied = _seconds(lambda: _copy(folder))
    ours, peers = _interleaved(compared, rounds)
    size = experts * ROWS * COLUMNS * (BLOCK // 2 + 1) / BLOCK / 1e9
    peer = statistics.median(each.wall for each in peers) * experts / compared
    loop = statistics.median(each.wall for each in ours) * experts / compared
    by_cpu = statistics.median(p.cpu / o.cpu for p, o in zip(peers, ours, strict=True))
    print_table(
        f"gate_up_proj, {experts} experts, rank {RANK}, {numba.get_num_threads()} threads",
        ["way", "s", "GB/s"],
        [
            ("copy of the file", f"{copied:.1f}", f"{size / copied:.2f}"),
            ("merged, file to file", f"{seconds:.1f}", f"{size / seconds:.2f}"),
            ("merged, in memory (scaled)", f"{loop:.1f}", f"{size / loop:.2f}"),
            ("numpy, in memory (scaled)", f"{peer:.1f}", f"{size / peer:.2f}"),
        ],
    )
    finish(
        [
            Result("merge_speedup", peer / loop, "x", least=12),
            Result("merge_speedup_cpu", by_cpu, "x fewer CPU seconds"),
            Result("merge_speedup_file_to_file", peer / seconds, "x"),
            Result("merge_peak", peak, "GB", most=3),
            Result("merge_of_copy_speed", copied / seconds, "of a plain copy"),
            Result("merge_cosine", cosine, "of wanted and applied"),
            *_quality(),
        ]
    )


def _write_tensor(folder: Path, experts: int) -> None:
    source = np.random.default_rng(0)
    count = COLUMNS // BLOCK
    blocks = np.frombuffer(source.bytes(experts * ROWS * count * 16), np.uint8)
    scales = source.integers(118, 123, (experts, ROWS, count), dtype=np.uint8)
    tensors = {
        f"{NAME}_blocks": blocks.reshape(experts, ROWS, count, 16),
        f"{NAME}_scales": scales,
    }
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")


def _lora(experts: int) -> list[Factors]:
    """Return deltas of gate and up as Tinker trains them, a tenth of the weights."""
    source = np.random.default_rng(1)
    loras = []
    for part in (0, 1):
        down = source.standard_normal((1, RANK, COLUMNS), dtype=np.float32) * 0.02
        up = source.standard_normal((experts, ROWS // 2, RANK), dtype=np.float32) * 0.02
        loras.append(Factors(part, down, up))
    return loras


def merge_file(folder: Path, experts: int) -> tuple[float, float, float]:
    """Merge the file; return seconds, the process's peak memory in GB, and the cosine."""
    base, loras = open_base(folder), _lora(experts)
    tiny = np.zeros((64, 1, 16), np.uint8)
    merge_rows(
        tiny,
        tiny[:, :, 0],
        np.zeros((2, RANK, BLOCK), np.float32),
        np.zeros((64, RANK), np.float32),
    )
    file = base.files["model.safetensors"]
    descriptor = os.open(folder / "merged.safetensors", os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(descriptor, 0, file.size)

    def put(name: str, rows: NDArray[np.generic], first: int) -> None:
        write_at(descriptor, rows, file.entries[name].begin + first * rows.nbytes)

    begun = time.perf_counter()
    report = merge_quantised(base, NAME, loras, put)
    os.fdatasync(descriptor)
    seconds = time.perf_counter() - begun
    os.close(descriptor)
    return seconds, _peak(), report.cosine


def _peak() -> float:
    """Return this process's peak memory in GB; `ru_maxrss` would have its parent's in it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kilobytes) * 1024 / 1e9


def _copy(folder: Path) -> None:
    target = folder / "copy.safetensors"
    shutil.copyfile(folder / "model.safetensors", target)
    descriptor = os.open(target, os.O_RDONLY)
    os.fdatasync(descriptor)
    os.close(descriptor)


class Cost(NamedTuple):
    """Seconds on the clock, and of all processors together."""

    wall: float
    cpu: float


def _cost(work: Callable[[], object], times: int) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        work()
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def _interleaved(experts: int, rounds: int) -> tuple[list[Cost], list[Cost]]:
    """Return what we and the peer need for some experts, in turns."""
    source = np.random.default_rng(2)
    count = COLUMNS // BLOCK
    blocks = source.integers(0, 256, (ROWS, count, 16), dtype=np.uint8)
    scales = source.integers(118, 123, (ROWS, count), dtype=np.uint8)
    down = source.standard_normal((2, RANK, COLUMNS), dtype=np.float32) * 0.02
    up = source.standard_normal((ROWS, RANK), dtype=np.float32) * 0.02
    merge_rows(blocks[:64], scales[:64], down, up[:64])
    ours: list[Cost] = []
    peers: list[Cost] = []
    for _ in range(rounds):
        ours.append(_cost(lambda: merge_rows(blocks, scales, down, up), experts))
        peers.append(_cost(lambda: plain(blocks, scales, down, up), experts))
    return ours, peers


def plain(blocks: Bytes, scales: Bytes, down: Floats, up: Floats) -> tuple[Bytes, Bytes]:
    """Merge one expert the straightforward way, with the matrix product in BLAS's threads."""
    weights = dequantise(blocks, scales)
    weights[0::2] += up[0::2] @ down[0]
    weights[1::2] += up[1::2] @ down[1]
    return plain_quantise(weights)


def plain_quantise(weights: Floats) -> tuple[Bytes, Bytes]:
    """Quantise with the exponent of the OCP specification: that of the largest weight, less 2."""
    parts = weights.reshape(len(weights), -1, BLOCK)
    largest = np.abs(parts).max(axis=-1)
    exponents = np.floor(np.log2(np.maximum(largest, np.float32(1e-38)))) - 2
    scaled = parts * np.exp2(-exponents)[..., None].astype(np.float32)
    codes = np.searchsorted(EDGES, np.abs(scaled)).astype(np.uint8) | (scaled < 0) * np.uint8(8)
    packed = codes[..., 0::2] | (codes[..., 1::2] << 4)
    return packed, (exponents + BIAS).astype(np.uint8)


def _quality() -> list[Result]:
    """Hold the error of each block against the two nearest exponents, and requantise a result."""
    weights = np.random.default_rng(3).standard_normal((512, COLUMNS), dtype=np.float32)
    again = dequantise(*quantise(weights))
    parts = weights.reshape(-1, BLOCK).astype(np.float64)
    error = ((again.reshape(-1, BLOCK) - parts) ** 2).sum(-1)
    nearest = np.log2(np.abs(parts).max(-1) / MAGNITUDES[-1])
    best = np.minimum(
        *(_error(parts, exponent) for exponent in (np.floor(nearest), np.ceil(nearest)))
    )
    ocp = dequantise(*plain_quantise(weights)).reshape(-1, BLOCK)
    lost = dequantise(*quantise(again)) != again
    return [
        Result(
            "worst_block_error", float((error / best).max()), "of the best of two", most=1.00001
        ),
        Result("error", float(error.sum() / ((ocp - parts) ** 2).sum()), "of one exponent's"),
        Result("requantised_differently", int(lost.sum()), "weights", most=0),
    ]


def _error(parts: NDArray[np.float64], exponents: NDArray[np.float64]) -> NDArray[np.float64]:
    scale = np.exp2(exponents)[:, None]
    places = np.abs(parts / scale).clip(max=MAGNITUDES[-1])
    rounded = VALUES[np.searchsorted(EDGES.astype(np.float64), places)]
    error: NDArray[np.float64] = ((rounded * scale - np.abs(parts)) ** 2).sum(-1)
    return error


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    typer.run(main)
