"""The inner loop against plain numpy: exact values, the best scale, untouched bytes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from training.merge import mxfp4

GRID = np.array(mxfp4.MAGNITUDES)


def nearest(weights: NDArray[np.float64], exponents: NDArray[np.int64]) -> NDArray[np.float64]:
    """Round blocks of weights to the grid of each block's scale, by trying all magnitudes."""
    scale = np.exp2(exponents)[..., None]
    places = np.abs(np.abs(weights)[..., None] / scale[..., None] - GRID).argmin(-1)
    rounded: NDArray[np.float64] = np.sign(weights) * GRID[places] * scale
    return rounded


def best_error(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the least squared error of each block over eight scales about its largest weight."""
    largest = np.maximum(np.abs(weights).max(-1), 1e-30)
    middle = np.floor(np.log2(largest / 6)).astype(np.int64)
    errors = [((nearest(weights, middle + i) - weights) ** 2).sum(-1) for i in range(-4, 4)]
    least: NDArray[np.float64] = np.min(errors, axis=0)
    return least


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.float32,
        (4, 64),
        elements=st.floats(-1000, 1000, width=32).map(lambda x: x if abs(x) > 1e-20 else 0.0),
    )
)
def test_each_block_has_the_least_error_that_any_scale_gives(weights: mxfp4.Floats) -> None:
    again = mxfp4.dequantise(*mxfp4.quantise(weights)).reshape(4, 2, 32).astype(np.float64)
    wanted = weights.reshape(4, 2, 32).astype(np.float64)
    error = ((again - wanted) ** 2).sum(-1)
    assert (error <= best_error(wanted) * (1 + 1e-5) + 1e-30).all()


def test_all_values_of_all_scales_are_kept() -> None:
    source = np.random.default_rng(0)
    for byte in range(252):  # six times the scale of 253 is more than float32 holds
        blocks = source.integers(0, 256, (2, 2, 16), dtype=np.uint8)
        blocks[0, 0] = byte & 0x11  # small values only: another scale holds them as well
        weights = mxfp4.dequantise(blocks, np.full((2, 2), byte, np.uint8))
        assert np.array_equal(mxfp4.dequantise(*mxfp4.quantise(weights)), weights)


@pytest.mark.parametrize("rank", [1, 8, 13])
@pytest.mark.parametrize("parts", [1, 2])
def test_merge_is_dequantise_add_quantise(parts: int, rank: int) -> None:
    source = np.random.default_rng(rank)
    rows, columns = 130, 352  # neither a whole number of groups nor of tiles
    blocks = source.integers(0, 256, (rows, columns // 32, 16), dtype=np.uint8)
    scales = source.integers(115, 122, (rows, columns // 32), dtype=np.uint8)
    down = source.standard_normal((parts, rank, columns), dtype=np.float32) * 0.1
    up = source.standard_normal((rows, rank), dtype=np.float32) * 0.1
    merged = mxfp4.merge_rows(blocks, scales, down, up)
    base = mxfp4.dequantise(blocks, scales)
    delta = np.stack([up[row] @ down[row % parts] for row in range(rows)])
    after = mxfp4.dequantise(merged.blocks, merged.scales)
    wanted = (base + delta).reshape(rows, -1, 32).astype(np.float64)
    error = ((after.reshape(wanted.shape) - wanted) ** 2).sum(-1)
    assert (error <= best_error(wanted) * (1 + 1e-4) + 1e-12).all()
    applied = after - base
    sums = [base**2, delta**2, applied**2, applied * delta, applied != 0]
    expected = [np.sum(each, dtype=np.float64) for each in sums]
    assert np.allclose(merged.sums[:5], expected, rtol=1e-3)
    assert merged.sums[5] == np.any(applied.reshape(rows, -1, 32), axis=-1).sum()


def codes(blocks: mxfp4.Bytes) -> NDArray[np.int64]:
    return np.bincount(np.stack([blocks & 15, blocks >> 4]).ravel(), minlength=16)


def test_untouched_blocks_keep_their_bytes_and_codes_are_counted() -> None:
    source = np.random.default_rng(1)
    blocks = source.integers(0, 256, (64, 10, 16), dtype=np.uint8)
    scales = source.integers(100, 120, (64, 10), dtype=np.uint8)
    down = source.standard_normal((1, 4, 320), dtype=np.float32)
    down[:, :, 64:128] = 0  # two blocks of each row
    up = source.standard_normal((64, 4), dtype=np.float32)
    up[7] = 0  # a whole row
    merged = mxfp4.merge_rows(blocks, scales, down, up)
    assert np.array_equal(merged.blocks[:, 2:4], blocks[:, 2:4])
    assert np.array_equal(merged.scales[:, 2:4], scales[:, 2:4])
    assert np.array_equal(merged.blocks[7], blocks[7])
    assert not np.array_equal(merged.blocks[8], blocks[8])
    assert np.array_equal(merged.before, codes(blocks))
    assert np.array_equal(merged.after, codes(merged.blocks))
