"""Pools with real kernels: which implementations there are, and how tests use them."""

import textwrap
from collections.abc import Callable
from functools import partial

import pytest

from sandbox.cold import ColdStartFactory
from sandbox.forked import ForkedFactory
from sandbox.lease import KernelLease
from sandbox.pool import KernelPool
from sandbox.settings import PoolSettings
from sandbox.types import CellResult, CellStatus

MakePool = Callable[[PoolSettings], KernelPool]

#: Every implementation of the pool; a suite that is parametrised by it is a contract.
IMPLEMENTATIONS = [
    pytest.param(partial(KernelPool, make_factory=ColdStartFactory), id="cold"),
    pytest.param(partial(KernelPool, make_factory=ForkedFactory), id="forked"),
]

#: Start-up imports are tested on their own; without them a kernel is up in a third of the time.
LEAN_STARTUP = "import math"

GRACE_S = 0.4


def lean_settings(**changes: object) -> PoolSettings:
    """Settings of a pool that starts fast, keeps no spares and writes little."""
    values: dict[str, object] = {
        "kernels": 2,
        "spares": 0,
        "startup_code": LEAN_STARTUP,
        "preload": (),
        "preload_if_installed": (),
        "interrupt_grace_s": GRACE_S,
        "max_output_chars": 2_000,
        **changes,
    }
    return PoolSettings(**values)  # type: ignore[arg-type]  # a wrong name or type fails the test


async def run(kernel: KernelLease, code: str, timeout: float = 20.0) -> CellResult:  # noqa: ASYNC109 - the cell's
    """Run indented code."""
    return await kernel.execute(textwrap.dedent(code), timeout)


async def output_of(kernel: KernelLease, code: str) -> str:
    """Run indented code that must succeed."""
    result = await run(kernel, code)
    assert result.status is CellStatus.OK, result
    return result.output
