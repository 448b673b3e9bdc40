"""Kernels of every implementation of the pool, a few for a module's tests."""

from collections.abc import AsyncIterator

import pytest

from sandbox.lease import KernelLease
from sandbox.pool import KernelPool
from tests.sandbox.pools import IMPLEMENTATIONS, MakePool, lean_settings


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
async def few_kernels(request: pytest.FixtureRequest) -> AsyncIterator[KernelPool]:
    """Yield a pool of two kernels."""
    maker: MakePool = request.param
    async with maker(lean_settings(kernels=2, spares=1)) as pool:
        yield pool


@pytest.fixture
async def fresh_kernel(few_kernels: KernelPool) -> AsyncIterator[KernelLease]:
    """Yield a lease of a fresh kernel."""
    async with few_kernels.lease(seed=1, owner="test") as lease:
        yield lease
