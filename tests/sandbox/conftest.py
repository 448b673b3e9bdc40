"""Kernels of every implementation of the pool, a few for a module's tests."""

from collections.abc import AsyncIterator

import pytest

from sandbox.lease import KernelLease
from sandbox.pool import KernelPool
from tests.sandbox.pools import IMPLEMENTATIONS, MakePool, lean_settings


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def make_pool(request: pytest.FixtureRequest) -> MakePool:
    """Return what makes a pool."""
    maker: MakePool = request.param
    return maker


@pytest.fixture(scope="module")
async def shared_pool(make_pool: MakePool) -> AsyncIterator[KernelPool]:
    """Yield a pool for all tests of a module."""
    async with make_pool(lean_settings(kernels=4, spares=2)) as pool:
        yield pool


@pytest.fixture
async def kernel(shared_pool: KernelPool) -> AsyncIterator[KernelLease]:
    """Yield a lease of a fresh kernel."""
    async with shared_pool.lease(seed=1, owner="test") as lease:
        yield lease
