"""One tensor merged: from its place in the base to the same place in the output."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from training.errors import BadAdapter, BadBase
from training.merge.adapter import Factors
from training.merge.base import BLOCKS, SCALES, Base
from training.merge.mxfp4 import BLOCK_BYTES, NAN_SCALE, SUMS, merge_rows
from training.merge.report import MXFP4, TensorReport, report
from training.merge.tensor_file import from_floats, read_raw, to_floats

#: Weights in memory at a time: 200 MB as float32, with what is made of them.
PIECE_WEIGHTS = 1 << 24

#: Takes a tensor's name, its rows as they are stored, and the first row's number.
Put = Callable[[str, NDArray[np.generic], int], None]
Floats = NDArray[np.float32]


def merge_quantised(base: Base, target: str, loras: list[Factors], put: Put) -> TensorReport:
    """Merge into an MXFP4 weight of all experts, some experts at a time.

    Raises:
        BadBase: a scale is NaN, or the two tensors do not fit each other.
        BadAdapter: the change is so large that its norm is no number.
    """
    blocks_name, scales_name = target + BLOCKS, target + SCALES
    entry, scale_entry = base.entry(blocks_name), base.entry(scales_name)
    fits = len(entry.shape) == 4 and entry.shape[-1] == BLOCK_BYTES
    bytes_alone = entry.dtype == scale_entry.dtype == "U8"
    if not fits or entry.shape[:-1] != scale_entry.shape or not bytes_alone:
        raise BadBase(
            f"{base.folder}: {target} has blocks of {entry.dtype}, shape {entry.shape}, and scales "
            f"of {scale_entry.dtype}, shape {scale_entry.shape}; must be U8 (experts, rows, "
            f"columns / 32, {BLOCK_BYTES}) and U8 (experts, rows, columns / 32), as gpt-oss is "
            "published: fetch the model again"
        )
    experts, rows, count, _ = entry.shape
    sums = np.zeros(len(SUMS))
    before, after = np.zeros(16, np.int64), np.zeros(16, np.int64)
    for expert in range(experts):
        blocks = read_raw(base.where[blocks_name], blocks_name, expert, expert + 1)[0]
        scales = read_raw(base.where[scales_name], scales_name, expert, expert + 1)[0]
        if (scales == NAN_SCALE).any():
            raise BadBase(f"{base.folder}: {target} has NaN weights; fetch the model again")
        merged = merge_rows(blocks, scales, *_factors(loras, expert, rows))
        put(blocks_name, merged.blocks, expert)
        put(scales_name, merged.scales, expert)
        sums += merged.sums
        before += merged.before
        after += merged.after
    if not np.isfinite(sums).all():
        raise BadAdapter(
            f"{target}: the change is too large for its norm to be a number: training diverged, or "
            "lora_alpha is wrong; take an earlier checkpoint"
        )
    return report(target, MXFP4, experts * rows * count * BLOCK_BYTES * 2, sums, (before, after))


def _factors(loras: list[Factors], expert: int, rows: int) -> tuple[Floats, Floats]:
    """Return A by parts, shape (parts, rank, in), and B, shape (rows, rank), of one expert."""
    some = loras[0]
    if some.part is None:
        return _of(some.down, expert)[None], _of(some.up, expert)
    most = max(lora.down.shape[1] for lora in loras)
    down = np.zeros((2, most, some.down.shape[2]), np.float32)
    up = np.zeros((rows, most), np.float32)
    for lora in loras:
        # gate and up may be of different ranks: what one has less is zero
        part, rank = lora.part or 0, lora.down.shape[1]
        down[part, :rank], up[part::2, :rank] = _of(lora.down, expert), _of(lora.up, expert)
    return down, up


def _of(matrices: Floats, expert: int) -> Floats:
    """Return an expert's matrix of one for each expert, or of one for all."""
    matrix: Floats = matrices[expert if len(matrices) > 1 else 0]
    return matrix


def merge_floats(base: Base, target: str, loras: list[Factors], put: Put) -> TensorReport:
    """Merge into a matrix, or into the matrices of all experts stored as (experts, in, out).

    Raises:
        BadBase: it is of another type or shape, or has or would get weights that are no numbers.
    """
    entry = base.entry(target)
    if entry.dtype not in {"BF16", "F16", "F32"} or len(entry.shape) not in {2, 3}:
        raise BadBase(
            f"{base.folder}: {target} is {entry.dtype} of shape {entry.shape}; only matrices of "
            "BF16, F16, F32 and MXFP4 can be merged into"
        )
    sums = np.zeros(len(SUMS))
    step = max(1, PIECE_WEIGHTS // math.prod(entry.shape[1:]))
    for first in range(0, entry.shape[0], step):
        last = min(first + step, entry.shape[0])
        raw = read_raw(base.where[target], target, first, last)
        before = to_floats(raw, entry.dtype)
        if len(entry.shape) == 2:
            wanted = loras[0].up[0, first:last] @ loras[0].down[0]
        else:
            wanted = _experts_delta(loras, range(first, last), before)
        touched = wanted != 0
        stored = np.where(touched, from_floats(before + wanted, entry.dtype), raw)
        after = to_floats(stored, entry.dtype)
        _check_finite(base, target, before, after)
        put(target, stored, first)
        _sum_up(sums, before, wanted, after)
    return report(target, entry.dtype, math.prod(entry.shape), sums)


def _check_finite(base: Base, target: str, before: Floats, after: Floats) -> None:
    """Raise `BadBase` where weights are not finite: no norm and no cosine would tell of them."""
    if np.isfinite(after).all():
        return
    if not np.isfinite(before).all():
        raise BadBase(
            f"{base.folder}: {target} has weights that are not finite; fetch the model again"
        )
    raise BadBase(
        f"{base.folder}: {target} is {base.entry(target).dtype}, which does not reach the largest "
        "of the changed weights; take the model in BF16, or train for less"
    )


def _experts_delta(loras: list[Factors], experts: range, like: Floats) -> Floats:
    """Return the delta of some experts, shape (experts, in, out)."""
    wanted = np.zeros_like(like)
    for lora in loras:
        columns = slice(None) if lora.part is None else slice(lora.part, None, 2)
        for place, expert in enumerate(experts):
            wanted[place][:, columns] += _of(lora.down, expert).T @ _of(lora.up, expert).T
    return wanted


def _sum_up(sums: NDArray[np.float64], before: Floats, wanted: Floats, after: Floats) -> None:
    applied = after - before
    products = ((before, before), (wanted, wanted), (applied, applied), (applied, wanted))
    for place, (one, other) in enumerate(products):
        # a float32 sum over pieces of 2^24 numbers would lose digits
        sums[place] += float(np.einsum("i,i->", one.ravel(), other.ravel(), dtype=np.float64))
    sums[4] += np.count_nonzero(applied)
