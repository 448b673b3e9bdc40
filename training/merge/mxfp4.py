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
Counts = NDArray[np.int64]
Pairs = NDArray[np.uint16]
Words = NDArray[np.int64]
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
#: The same pairs as words of eight bytes, which move at once.
_WORDS = _PAIRS.view(np.int64)
_SCALES: Floats = np.exp2(np.arange(256, dtype=np.float64).clip(max=254) - BIAS).astype(np.float32)
_INVERSE: Floats = np.exp2(BIAS - np.arange(NAN_SCALE, dtype=np.float64)).astype(np.float32)

#: Rows that a thread takes at a time.
ROWS = 64
#: Weights of a row at work at a time: with rank 32, one part of A for them is 36 KB: an L1 cache.
TILE = 9 * BLOCK
#: Columns of `Merged.sums`.
SUMS = ("base", "wanted", "applied", "product", "changed", "blocks")
#: Reassociation lets reductions use vector registers; there is no NaN: scales of 255 are refused.
_FAST = {"reassoc", "contract", "nsz", "nnan", "arcp"}

# Parts of a float32 as an integer. Magnitudes order as their bits do, and a largest integer is put
# into vector registers where a largest float, with its rule for NaN, is not.
_SIGN, _MAGNITUDE = np.int32(-(1 << 31)), np.int32((1 << 31) - 1)
_EXPONENT, _ONE = np.int32(0x7F800000), np.int32(0x3F800000)


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
    codes = np.zeros((groups, 2, 16), np.int64)
    _merge(
        blocks.reshape(-1), scales.reshape(-1),
        np.ascontiguousarray(down, np.float32), np.ascontiguousarray(up, np.float32),
        new_blocks.reshape(-1), new_scales.reshape(-1), sums, codes, count * BLOCK,
    )  # fmt: skip
    before, after = codes.sum(axis=0)
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


@_compiled()
def _bits(value: Scalar) -> Scalar:  # pragma: no cover - compiled
    return np.float32(value).view(np.int32)


@_compiled()
def _float(bits: Scalar) -> Scalar:  # pragma: no cover - compiled
    return np.int32(bits).view(np.float32)


@_compiled()
def _rounded(value: Scalar) -> Scalar:  # pragma: no cover - compiled
    """Return the nearest magnitude, ties to the even code; 6 for all that is larger.

    Magnitudes are half a power of two apart, counted from the power of two below the value. All
    is done without a branch, and no sum is there that fast arithmetic could take apart.
    """
    power = max(np.int32(_bits(value) & _EXPONENT), _ONE)
    steps = np.rint(value * _float(np.int32(_EXPONENT - power)))  # times 2 / power
    return min(steps * (_float(power) * np.float32(0.5)), np.float32(6.0))


@_compiled(fastmath=_FAST)
def _best_scale(weights: Floats, largest: Scalar) -> Scalar:  # pragma: no cover - compiled
    """Return the byte of the scale with the least squared error; `largest` is bits of a float."""
    # the largest is 4 to 8 times the scale of this byte; 6 is what the grid reaches
    byte: Scalar = (largest >> 23) - 2
    if byte < 1:
        return 0
    coarse = byte + 1 if _float(largest) * _INVERSE[byte] > np.float32(6.0) else byte
    coarse = min(coarse, NAN_SCALE - 1)
    inverse = _INVERSE[coarse - 1]
    in_fine, in_coarse = np.float32(0.0), np.float32(0.0)
    for i in range(BLOCK):
        value = abs(weights[i]) * inverse
        half = value * np.float32(0.5)
        one, other = _rounded(value) - value, _rounded(half) - half
        in_fine += one * one
        in_coarse += other * other
    # an error in units of the coarse scale is twice as large as in those of the fine one
    return coarse - 1 if in_fine < np.float32(4.0) * in_coarse else coarse


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
        sign = np.int32(_bits(weights[i]) & _SIGN)
        codes[i] = np.uint8(np.int32(code) | np.int32((sign >> 28) & 8))
        values[i] = _float(_bits(value * scale) | sign)


# An index made of two parts is cast: a signed one may count from the end, which nobody can rule
# out for a sum, and the loop is not put into vector registers.


@_compiled()
def _pack(pairs: Pairs, packed: Bytes, at: Scalar) -> None:  # pragma: no cover - compiled
    """Put a block's codes, seen two at a time, into nibbles."""
    for i in range(BLOCK_BYTES):
        packed[np.uintp(at + i)] = np.uint8((pairs[i] | (pairs[i] >> 4)) & 255)


@_compiled()
def _unpack(packed: Bytes, at: Scalar, words: Words) -> None:  # pragma: no cover - compiled
    """Fill in a block's weights in units of its scale, seen two at a time."""
    for i in range(BLOCK_BYTES):
        words[i] = _WORDS[packed[np.uintp(at + i)]]


@_compiled()
def _count(packed: Bytes, first: Scalar, last: Scalar, counts: Counts) -> None:  # pragma: no cover
    """Count the codes in packed[first:last], whole blocks: by bytes, in four tables in turn.

    One table would wait for its own last count where a byte follows its like.
    """
    tables = np.zeros(1024, np.int32)
    for i in range(first, last, 4):
        tables[packed[np.uintp(i)]] += 1
        tables[np.uintp(256) + np.uintp(packed[np.uintp(i + 1)])] += 1
        tables[np.uintp(512) + np.uintp(packed[np.uintp(i + 2)])] += 1
        tables[np.uintp(768) + np.uintp(packed[np.uintp(i + 3)])] += 1
    for i in range(1024):
        counts[i & 15] += tables[i]
        counts[(i >> 4) & 15] += tables[i]


@_compiled(parallel=True, cache=True)
def _quantise(weights: Floats, blocks: Bytes, scales: Bytes) -> None:  # pragma: no cover - compiled
    """Quantise flat weights, `ROWS` blocks at a time."""
    for group in numba.prange(-(-scales.shape[0] // ROWS)):
        codes, values = np.empty(BLOCK, np.uint8), np.empty(BLOCK, np.float32)
        pairs, part = codes.view(np.uint16), np.empty(BLOCK, np.float32)
        for block in range(group * ROWS, min((group + 1) * ROWS, scales.shape[0])):
            largest = np.int32(0)
            for i in range(BLOCK):
                part[i] = weights[block * BLOCK + i]
                largest = max(largest, np.int32(_bits(part[i]) & _MAGNITUDE))
            scales[block] = _best_scale(part, largest)
            _encode(part, scales[block], codes, values)
            _pack(pairs, blocks, block * BLOCK_BYTES)


@_compiled(fastmath=_FAST)
def _delta(  # pragma: no cover - compiled
    up: Floats, row: Scalar, down: Floats, width: Scalar, out: Floats
) -> None:
    """Fill out[:width] with up[row] times down."""
    rank = up.shape[1]
    for i in range(width):
        out[i] = np.float32(0.0)
    k = 0
    while k + 8 <= rank:  # eight at a time: each sum is loaded and stored an eighth as often
        u0, u1, u2, u3 = up[row, k], up[row, k + 1], up[row, k + 2], up[row, k + 3]
        u4, u5, u6, u7 = up[row, k + 4], up[row, k + 5], up[row, k + 6], up[row, k + 7]
        for i in range(width):
            out[i] += (
                u0 * down[k, i] + u1 * down[k + 1, i] + u2 * down[k + 2, i] + u3 * down[k + 3, i]
                + u4 * down[k + 4, i] + u5 * down[k + 5, i]
                + u6 * down[k + 6, i] + u7 * down[k + 7, i]
            )  # fmt: skip
        k += 8
    while k < rank:
        for i in range(width):
            out[i] += up[row, k] * down[k, i]
        k += 1


@_compiled()
def _add(
    base: Floats, scale: Scalar, delta: Floats, at: Scalar, weights: Floats
) -> Scalar:  # pragma: no cover - compiled
    """Scale a block and add its delta; return bits of all deltas, and those of the largest sum."""
    touched = largest = np.int32(0)
    for i in range(BLOCK):
        base[i] = base[i] * scale
        weights[i] = base[i] + delta[np.uintp(at + i)]
        touched |= np.int32(_bits(delta[np.uintp(at + i)]) & _MAGNITUDE)
        largest = max(largest, np.int32(_bits(weights[i]) & _MAGNITUDE))
    return touched, largest


@_compiled(fastmath=_FAST)
def _sum_up(
    base: Floats, delta: Floats, at: Scalar, values: Floats, lanes: Floats
) -> Scalar:  # pragma: no cover - compiled
    """Add a block to the sums, one for each of its places; return whether a weight changed."""
    changed = np.int32(0)
    for i in range(BLOCK):
        wanted, applied = delta[np.uintp(at + i)], values[i] - base[i]
        differs = np.int32(applied != np.float32(0.0))
        lanes[0, i] += base[i] * base[i]
        lanes[1, i] += wanted * wanted
        lanes[2, i] += applied * applied
        lanes[3, i] += applied * wanted
        lanes[4, i] += np.float32(differs)
        changed |= differs
    return changed


@_compiled(parallel=True, cache=True)
def _merge(  # noqa: PLR0913, PLR0917 # pragma: no cover - compiled
    blocks: Bytes, scales: Bytes, down: Floats, up: Floats, new_blocks: Bytes, new_scales: Bytes,
    sums: Numbers, counts: Counts, columns: Scalar,
) -> None:  # fmt: skip
    """Merge groups of rows, one a thread; within a group tile by tile, so that A stays near.

    Weights are flat: a view of an array counts its references, and threads fight for that.
    """
    rows, rank = up.shape
    parts = down.shape[0]
    for group in numba.prange(sums.shape[0]):
        near, delta = np.empty((rank, TILE), np.float32), np.empty(TILE, np.float32)
        words, codes = np.empty(BLOCK_BYTES, np.int64), np.empty(BLOCK, np.uint8)
        base, pairs = words.view(np.float32), codes.view(np.uint16)
        weights, values = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
        # float32 lasts for the rows of a group and the width of a tile
        lanes, own = np.empty((5, BLOCK), np.float32), np.zeros(6)
        begin, end = group * ROWS, min((group + 1) * ROWS, rows)
        for first in range(0, columns, TILE):
            width = min(TILE, columns - first)
            lanes[:] = 0
            for some in range(parts):
                near[:, :width] = down[some, :, first : first + width]
                for row in range(begin + (some - begin) % parts, end, parts):
                    _delta(up, row, near, width, delta)
                    for at in range(0, width, BLOCK):
                        block = (row * columns + first + at) // BLOCK
                        byte, there = scales[block], block * BLOCK_BYTES
                        _unpack(blocks, there, words)
                        touched, largest = _add(base, _SCALES[byte], delta, at, weights)
                        if touched:
                            best = _best_scale(weights, largest)
                            _encode(weights, best, codes, values)
                            _pack(pairs, new_blocks, there)
                            new_scales[block] = best
                            own[5] += _sum_up(base, delta, at, values, lanes)
                        else:
                            for i in range(there, there + BLOCK_BYTES):
                                new_blocks[i] = blocks[i]
                            new_scales[block] = byte
                            _sum_up(base, delta, at, base, lanes)
            for i in range(5):
                for k in range(BLOCK):
                    own[i] += lanes[i, k]
        first, last = begin * columns // 2, end * columns // 2
        _count(blocks, first, last, counts[group, 0])
        _count(new_blocks, first, last, counts[group, 1])
        sums[group, :] = own
