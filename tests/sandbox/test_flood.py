"""Code that sends this process messages without end does not get its memory."""

import logging

import anyio
import pytest

from sandbox.flood import MOST_GROWTH_BYTES, FloodGuard, own_memory_bytes
from sandbox.types import CellResult, CellStatus, LossReason
from tests.sandbox.pools import IMPLEMENTATIONS, MakePool, lean_settings, output_of, run

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(own_memory_bytes() is None, reason="what memory is whose is not known here"),
]

#: In seconds; only the guard ends this flood before.
CELL_TIMEOUT_S = 60.0

ENDLESS_MESSAGE = """
    import time
    import zmq

    time.sleep(0.5)  # what the kernel itself sends as a cell begins goes first
    socket = get_ipython().kernel.iopub_socket.io_thread.socket
    while True:
        socket.send(b"x" * 100_000, zmq.SNDMORE)
"""


@pytest.mark.parametrize("make_pool", IMPLEMENTATIONS)
async def test_a_message_without_end_costs_its_own_kernel_alone(make_pool: MakePool) -> None:
    results: list[CellResult] = []
    async with make_pool(lean_settings()) as pool:
        async with pool.lease(seed=1, owner="a") as hostile, pool.lease(seed=1, owner="b") as other:

            async def flood() -> None:
                results.append(await run(hostile, ENDLESS_MESSAGE, CELL_TIMEOUT_S))

            await output_of(other, "kept = 7")
            async with anyio.create_task_group() as group:
                group.start_soon(flood)
                while not results:
                    assert await output_of(other, "sum(range(2_000_000)); kept") == "7\n"
            assert await output_of(other, "kept") == "7\n"
            assert await output_of(hostile, "'kept' in globals()") == "False\n"
        status = pool.status()
    assert results[0].status is CellStatus.DIED
    assert results[0].state_lost
    assert "its messages filled the server's memory" in results[0].output
    assert status.lost == {LossReason.DIED: 1}


class Told(logging.Handler):
    """Remembers the first thing that it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.first = ""
        self.told = anyio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        self.first = self.first or record.getMessage()
        self.told.set()


async def test_growth_with_no_kernel_running_is_our_own(request: pytest.FixtureRequest) -> None:
    logger, told = logging.getLogger("sandbox.flood"), Told()
    logger.addHandler(told)
    request.addfinalizer(lambda: logger.removeHandler(told))
    guard = FloodGuard(lambda: (), most_growth_bytes=MOST_GROWTH_BYTES // 32)
    async with anyio.create_task_group() as group:
        group.start_soon(guard.watch)
        await anyio.wait_all_tasks_blocked()
        grown = b"x" * (MOST_GROWTH_BYTES // 8)
        with anyio.fail_after(CELL_TIMEOUT_S):
            await told.told.wait()
        group.cancel_scope.cancel()
    assert "with no kernel running" in told.first
    assert grown
