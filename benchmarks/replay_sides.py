"""The two sides of the replay: a lease of our pool, and a stock kernel as any notebook has it."""

import os
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import anyio
from jupyter_client.manager import AsyncKernelManager

from benchmarks.replay_text import last_line
from sandbox.output import clean
from sandbox.pool import KernelPool
from sandbox.startup import DEFAULT_STARTUP_CODE, seeding_code
from sandbox.types import CellStatus

#: Seeds every attempt's generators, the same on both sides.
SEED = 42

#: Wait after an interrupt before the kernel is killed, in seconds; `PoolSettings` has the same.
_GRACE_S = 1.0

#: Imports of the start-up cell, on a busy machine.
_STARTUP_WAIT_S = 60.0

#: For both sides: recorded cells that call pip must not change the environment they run in.
NO_INSTALLING = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

#: As our kernels have it: one thread a library, the same order of sets in every run.
_ENVIRONMENT = {
    **NO_INSTALLING,
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "agg",
    "PYTHONHASHSEED": "0",
}


@dataclass(slots=True)
class Ran:
    """What one side showed for one cell."""

    shown: str = ""
    #: Last line of the error that stock raised; ours is the last of what is shown.
    error: str | None = None
    timed_out: bool = False
    cut: bool = False
    #: The kernel ended in the cell, which had not asked for more time than it was given.
    died: bool = False
    #: The kernel did not heed its interrupts and was replaced: what cells had defined is gone.
    lost: bool = False
    seconds: float = 0.0


class Side(Protocol):
    """A kernel with the start-up cell run and the generators seeded."""

    async def run(self, code: str, limit_s: float) -> Ran:
        """Run a cell."""


@dataclass(frozen=True, slots=True)
class OurSide:
    """A lease."""

    lease: Any

    async def run(self, code: str, limit_s: float) -> Ran:
        """See Side."""
        result = await self.lease.execute(code, limit_s)
        return Ran(
            shown=result.output,
            timed_out=result.status is CellStatus.TIMEOUT,
            cut=result.truncated,
            died=result.status is CellStatus.DIED,
            lost=result.state_lost and result.status is not CellStatus.DIED,
            seconds=result.seconds,
        )


@asynccontextmanager
async def our_side(pool: KernelPool, owner: str) -> AsyncIterator[OurSide]:
    """Lease a kernel."""
    async with pool.lease(seed=SEED, owner=owner) as lease:
        yield OurSide(lease)


@asynccontextmanager
async def stock_side(folder: str) -> AsyncIterator["StockSide"]:
    """Start a kernel through jupyter_client, and end it."""
    manager = AsyncKernelManager()
    environment = {**os.environ, **_ENVIRONMENT, "HOME": folder, "TMPDIR": folder}
    try:
        await manager.start_kernel(
            cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        side = StockSide(manager)
        await side.prepare()
        yield side
    finally:
        with anyio.CancelScope(shield=True):
            await manager.shutdown_kernel(now=True)


@dataclass(slots=True)
class StockSide:
    """A started kernel and its client."""

    manager: Any
    client: Any = field(default=None)

    async def prepare(self) -> None:
        """Connect, run the start-up cell and seed."""
        self.client = self.manager.client()
        self.client.start_channels()
        await self.client.wait_for_ready(timeout=_STARTUP_WAIT_S)
        ran = await self.run(DEFAULT_STARTUP_CODE + seeding_code(SEED), _STARTUP_WAIT_S)
        if ran.error or ran.timed_out:
            raise RuntimeError(f"stock kernel's start-up cell: {ran.error or 'timed out'}")

    async def run(self, code: str, limit_s: float) -> Ran:
        """See Side."""
        ran = Ran()
        begun = time.monotonic()
        request = self.client.execute(code, allow_stdin=False, stop_on_error=False)
        with anyio.move_on_after(limit_s) as patience:
            await self._finish(request, ran)
        if patience.cancelled_caught:
            ran.timed_out = True
            await self.manager.interrupt_kernel()
            with anyio.move_on_after(_GRACE_S) as patience:
                await self._finish(request, ran)
        ran.seconds = time.monotonic() - begun
        if patience.cancelled_caught:
            ran.lost = True
            await self._replace()
        return ran

    async def _finish(self, request: str, ran: Ran) -> None:
        """Collect what the cell shows until it is idle, then its reply."""
        while True:
            message = await self.client.get_iopub_msg(timeout=None)
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            kind = message["msg_type"]
            if kind == "status" and content["execution_state"] == "idle":
                break
            _collect(kind, content, ran)
        while True:
            reply = await self.client.get_shell_msg(timeout=None)
            if reply["parent_header"].get("msg_id") == request:
                return

    async def _replace(self) -> None:
        self.client.stop_channels()
        await self.manager.restart_kernel(now=True)
        await self.prepare()


def _collect(kind: str, content: dict[str, Any], ran: Ran) -> None:
    if kind == "stream":
        ran.shown += content["text"]
    elif kind in {"execute_result", "display_data"}:
        ran.shown += content["data"].get("text/plain", "") + "\n"
    elif kind == "error":
        # The message alone would do, but that of a SyntaxError has its place added.
        ran.error = last_line(clean("\n".join(content["traceback"])))
