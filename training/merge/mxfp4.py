"""MXFP4 weights plus a low-rank delta, quantised again: the inner loop of a merge.

MXFP4 (OCP Microscaling Formats 1.0): blocks of 32 weights; a weight is 4 bits, a sign and one of
`MAGNITUDES`; a block shares a scale of 2^(byte - 127). gpt-oss stores two weights in a byte, the
low nibble first.

A scale's grid contains the grid of twice the scale, as far as it reaches. So of all scales only two
can be the best for a block: the one whose grid just reaches the largest weight, and the next finer
one, which clips it. Both are tried, and the smaller squared error wins.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Numbers = NDArray[np.float64]
#: A number whose type numba infers.
Scalar = Any
Function = TypeVar("Function", bound=Callable[..., Any])

#: Weights of a block, and the bytes that hold them.
BLOCK = 32
BLOCK_BYTES = BLOCK // 2
#: What the codes 0 ... 7 mean, in units of the scale; 8 ... 15 are the same, negative.
MAGNITUDES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
#: The byte of the scale 1.
BIAS = 127
#: The byte that stands for NaN; no weight may have it.
NAN_SCALE = 255

VALUES: Floats = np.array([*MAGNITUDES, *(-value for value in MAGNITUDES)], np.float32)
_PAIRS: Floats = np.stack([VALUES[np.arange(256) & 15], VALUES[np.arange(256) >> 4]], 1).reshape(-1)
_SCALES: Floats = np.exp2(np.arange(256, dtype=np.float64).clip(max=254) - BIAS).astype(np.float32)
_INVERSE: Floats = np.exp2(BIAS - np.arange(NAN_SCALE, dtype=np.float64)).astype(np.float32)

#: Rows that a thread takes at a time.
ROWS = 64
#: Weights of a row at work at a time: with rank 32, A's part for them is 36 KB, an L1 cache.
TILE = 9 * BLOCK
#: Columns of `Merged.sums`.
SUMS = ("base", "wanted", "applied", "product", "changed", "blocks")
#: Reassociation lets reductions use vector registers; there is no NaN: scales of 255 are refused.
_FAST = {"reassoc", "contract", "nsz", "nnan", "arcp"}


def _compiled(**options: object) -> Callable[[Function], Function]:
    """Compile a function with numba; it keeps its type."""
    return cast("Callable[[Function], Function]", numba.njit(**options))  # type: ignore[call-overload]


class Merged(NamedTuple):
    """What a merge of rows yields.

    `sums` has shape (len(SUMS),): the squared norms of the base weights, of the wanted and of the
    applied delta, the scalar product of the two, and the numbers of weights and of blocks changed.
    `before` and `after` count the codes, shape (16,).
    """

    blocks: Bytes
    scales: Bytes
    sums: NDArray[np.float64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]


def merge_rows(blocks: Bytes, scales: Bytes, down: Floats, up: Floats) -> Merged:
    """Add a low-rank delta to a matrix of MXFP4 weights.

    Args:
        blocks: shape (rows, columns / 32, 16).
        scales: shape (rows, columns / 32).
        down: LoRA's A, shape (parts, rank, columns).
        up: LoRA's B times its scaling, shape (rows, rank). Row `i` takes the part `i % parts` of
            `down`: two parts for rows that alternate between gate and up.

    Blocks whose delta is zero keep their bytes. With a scale of 255 (NaN) the result is undefined.
    """
    rows, count, _ = blocks.shape
    new_blocks, new_scales = np.empty_like(blocks), np.empty_like(scales)
    groups = -(-rows // ROWS)
    sums = np.zeros((groups, len(SUMS)))
    codes = np.zeros((groups, 512), np.int64)
    _merge(
        blocks.reshape(-1), scales.reshape(-1),
        np.ascontiguousarray(down, np.float32), np.ascontiguousarray(up, np.float32),
        new_blocks.reshape(-1), new_scales.reshape(-1), sums, codes, count * BLOCK,
    )  # fmt: skip
    before, after = (_nibbles(side) for side in codes.sum(axis=0).reshape(2, 256))
    return Merged(new_blocks, new_scales, sums.sum(axis=0), before, after)


def dequantise(blocks: Bytes, scales: Bytes) -> Floats:
    """Return the weights, shape (..., columns), of blocks (..., columns / 32, 16) and scales."""
    pairs: Floats = _PAIRS.reshape(256, 2)[blocks].reshape(*blocks.shape[:-1], BLOCK)
    return (pairs * _SCALES[scales][..., None]).reshape(*blocks.shape[:-2], -1)


def quantise(weights: Floats) -> tuple[Bytes, Bytes]:
    """Return blocks and scales of finite weights, shape (rows, columns); columns divide by 32."""
    rows, columns = weights.shape
    count = columns // BLOCK
    blocks = np.empty((rows, count, BLOCK_BYTES), np.uint8)
    scales = np.empty((rows, count), np.uint8)
    flat = np.ascontiguousarray(weights, np.float32).reshape(-1)
    _quantise(flat, blocks.reshape(-1), scales.reshape(-1))
    return blocks, scales


def _nibbles(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how often each code is there, from how often each byte is."""
    table = pairs.reshape(16, 16)  # high nibble, low nibble
    counts: NDArray[np.int64] = table.sum(axis=0) + table.sum(axis=1)
    return counts


@_compiled(inline="always")
def _rounded(value: Scalar) -> Scalar:  # pragma: no cover - compiled
    """Return the nearest magnitude, ties to the even code; 6 for all that is larger."""
    if value < np.float32(2.0):
        return np.rint(value * np.float32(2.0)) * np.float32(0.5)
    if value < np.float32(4.0):
        return np.rint(value)
    return min(np.rint(value * np.float32(0.5)) * np.float32(2.0), np.float32(6.0))


@_compiled(fastmath=_FAST)
def _error(weights: Floats, inverse: Scalar) -> Scalar:  # pragma: no cover - compiled
    """Return the squared error of a block, in units of the scale."""
    total = np.float32(0.0)
    for i in range(BLOCK):
        value = abs(weights[i]) * inverse
        difference = _rounded(value) - value
        total += difference * difference
    return total


@_compiled(fastmath=_FAST)
def _best_scale(weights: Floats, halves: Floats) -> Scalar:  # pragma: no cover - compiled
    """Return the byte of the scale with the least squared error; `halves` is scratch."""
    for i in range(16):  # by halves: a plain maximum is not put into vector registers
        one, other = abs(weights[i]), abs(weights[i + 16])
        halves[i] = one if one > other else other  # noqa: FURB136 - max() would be slow here
    for i in range(8):
        one, other = halves[i], halves[i + 8]
        halves[i] = one if one > other else other  # noqa: FURB136
    largest = max(max(halves[0], halves[1]), max(halves[2], halves[3]))  # noqa: PLW3301
    largest = max(largest, max(max(halves[4], halves[5]), max(halves[6], halves[7])))  # noqa: PLW3301
    # the largest is 4 to 8 times the scale of this byte; 6 is what the grid reaches
    byte: Scalar = (np.float32(largest).view(np.int32) >> 23) - 2
    if byte < 1:
        return 0
    coarse = byte + 1 if largest * _INVERSE[byte] > np.float32(6.0) else byte
    coarse = min(coarse, NAN_SCALE - 1)
    fine = coarse - 1
    # an error in units of the coarse scale is twice as large as in those of the fine one
    in_fine, in_coarse = _error(weights, _INVERSE[fine]), _error(weights, _INVERSE[coarse])
    return fine if in_fine < np.float32(4.0) * in_coarse else coarse


@_compiled(fastmath=_FAST)
def _encode(
    weights: Floats, byte: Scalar, codes: Bytes, values: Floats
) -> None:  # pragma: no cover - compiled
    """Fill in the codes of a block, and the values that they stand for."""
    inverse, scale = _INVERSE[byte], _SCALES[byte]
    for i in range(BLOCK):
        value = _rounded(abs(weights[i]) * inverse)
        # 0 ... 2 in halves, then 3, 4, 6
        code = min(value * np.float32(2.0), value + np.float32(2.0), np.float32(7.0))
        negative = weights[i] < np.float32(0.0)
        codes[i] = np.uint8(np.int32(code) | (np.int32(8) if negative else np.int32(0)))
        values[i] = (-value if negative else value) * scale


@_compiled()
def _pack(codes: Bytes, packed: Bytes, at: Scalar) -> None:  # pragma: no cover - compiled
    for i in range(BLOCK_BYTES):
        packed[at + i] = codes[2 * i] | (codes[2 * i + 1] << 4)


@_compiled()
def _unpack(
    packed: Bytes, at: Scalar, scale: Scalar, base: Floats
) -> None:  # pragma: no cover - compiled
    for i in range(BLOCK_BYTES):
        pair = 2 * np.intp(packed[at + i])
        base[2 * i] = _PAIRS[pair] * scale
        base[2 * i + 1] = _PAIRS[pair + 1] * scale


@_compiled(parallel=True, cache=True)
def _quantise(weights: Floats, blocks: Bytes, scales: Bytes) -> None:  # pragma: no cover - compiled
    """Quantise flat weights, `ROWS` blocks at a time."""
    for group in numba.prange(-(-scales.shape[0] // ROWS)):
        codes, values = np.empty(BLOCK, np.uint8), np.empty(BLOCK, np.float32)
        part, halves = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
        for block in range(group * ROWS, min((group + 1) * ROWS, scales.shape[0])):
            for i in range(BLOCK):
                part[i] = weights[block * BLOCK + i]
            scales[block] = _best_scale(part, halves)
            _encode(part, scales[block], codes, values)
            _pack(codes, blocks, block * BLOCK_BYTES)


@_compiled(fastmath=_FAST)
def _delta(  # pragma: no cover - compiled
    up: Floats, row: Scalar, down: Floats, part: Scalar, width: Scalar, out: Floats
) -> None:
    """Fill out[:width] with up[row] times down[part]."""
    rank = up.shape[1]
    for i in range(width):
        out[i] = np.float32(0.0)
    k = 0
    while k + 8 <= rank:  # eight at a time: each sum is loaded and stored an eighth as often
        u0, u1, u2, u3 = up[row, k], up[row, k + 1], up[row, k + 2], up[row, k + 3]
        u4, u5, u6, u7 = up[row, k + 4], up[row, k + 5], up[row, k + 6], up[row, k + 7]
        for i in range(width):
            out[i] += (
                u0 * down[part, k, i] + u1 * down[part, k + 1, i]
                + u2 * down[part, k + 2, i] + u3 * down[part, k + 3, i]
                + u4 * down[part, k + 4, i] + u5 * down[part, k + 5, i]
                + u6 * down[part, k + 6, i] + u7 * down[part, k + 7, i]
            )  # fmt: skip
        k += 8
    while k < rank:
        for i in range(width):
            out[i] += up[row, k] * down[part, k, i]
        k += 1


@_compiled(fastmath=_FAST)
def _add(
    base: Floats, delta: Floats, at: Scalar, part: Floats, weights: Floats
) -> Scalar:  # pragma: no cover - compiled
    """Fill in a block's delta and sum; return whether any delta is not zero."""
    touched = np.int32(0)
    for i in range(BLOCK):
        part[i] = delta[at + i]
        weights[i] = base[i] + part[i]
        touched += np.int32(part[i] != np.float32(0.0))
    return touched > 0


@_compiled(fastmath=_FAST)
def _sum_up(
    base: Floats, delta: Floats, values: Floats, sums: Numbers
) -> None:  # pragma: no cover - compiled
    """Add a block to the sums."""
    base2, wanted2, applied2 = np.float32(0.0), np.float32(0.0), np.float32(0.0)
    product, changed = np.float32(0.0), np.int32(0)
    for i in range(BLOCK):
        applied = values[i] - base[i]
        base2 += base[i] * base[i]
        wanted2 += delta[i] * delta[i]
        applied2 += applied * applied
        product += applied * delta[i]
        changed += np.int32(applied != np.float32(0.0))
    sums[0] += base2
    sums[1] += wanted2
    sums[2] += applied2
    sums[3] += product
    sums[4] += changed
    sums[5] += changed > 0


@_compiled(parallel=True, cache=True)
def _merge(  # noqa: PLR0913, PLR0917 # pragma: no cover - compiled
    blocks: Bytes, scales: Bytes, down: Floats, up: Floats, new_blocks: Bytes, new_scales: Bytes,
    sums: Numbers, counts: NDArray[np.int64], columns: Scalar,
) -> None:  # fmt: skip
    """Merge groups of rows, one a thread; within a group tile by tile, so that A stays near.

    Weights are flat: a view of an array counts its references, and threads fight for that.
    """
    rows, rank = up.shape
    parts = down.shape[0]
    for group in numba.prange(sums.shape[0]):
        near, delta = np.empty((parts, rank, TILE), np.float32), np.empty(TILE, np.float32)
        base, part = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
        weights, values = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
        halves = np.empty(BLOCK, np.float32)
        codes, own, seen = np.empty(BLOCK, np.uint8), np.zeros(6), np.zeros(512, np.int64)
        for first in range(0, columns, TILE):
            width = min(TILE, columns - first)
            near[:, :, :width] = down[:, :, first : first + width]
            for row in range(group * ROWS, min((group + 1) * ROWS, rows)):
                _delta(up, row, near, row % parts, width, delta)
                for at in range(0, width, BLOCK):
                    block = (row * columns + first + at) // BLOCK
                    byte, there = scales[block], block * BLOCK_BYTES
                    _unpack(blocks, there, _SCALES[byte], base)
                    if _add(base, delta, at, part, weights):
                        best = _best_scale(weights, halves)
                        _encode(weights, best, codes, values)
                        _pack(codes, new_blocks, there)
                        new_scales[block] = best
                        _sum_up(base, part, values, own)
                    else:
                        for i in range(there, there + BLOCK_BYTES):
                            new_blocks[i] = blocks[i]
                        new_scales[block] = byte
                        _sum_up(base, part, base, own)
                    for i in range(there, there + BLOCK_BYTES):
                        seen[blocks[i]] += 1
                        seen[256 + np.intp(new_blocks[i])] += 1
        sums[group, :] = own
        counts[group, :] = seen
