"""Code that sends this process messages without end does not get its memory."""

import logging
import mmap
from collections.abc import Iterator
from textwrap import dedent

import anyio
import pytest
from anyio.abc import TaskStatus

from sandbox import flood
from sandbox.flood import MOST_GROWTH_BYTES, FloodGuard, own_memory_bytes
from sandbox.pool import KernelPool
from sandbox.types import CellResult, CellStatus, LossReason
from tests.sandbox.pools import IMPLEMENTATIONS, MakePool, lean_settings, output_of, run

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(own_memory_bytes() is None, reason="what memory is whose is not known here"),
]

#: In seconds; only the guard ends this flood before.
CELL_TIMEOUT_S = 60.0
#: Less than a test may take, so that what hangs is told here.
TOLD_WITHIN_S = 30.0

#: What the kernel itself sends as a cell begins goes first.
_CONNECTIONS = """
    import os, stat, time

    time.sleep(0.5)
    # A part of ZMTP: a long one, and more come.
    part = b"\\x03" + (60_000).to_bytes(8, "big") + b"x" * 60_000
    left = {}
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                left[number] = part
        except OSError:
            pass

    def send():
        while True:
            for number in left:
                try:
                    left[number] = left[number][os.write(number, left[number]):] or part
                except OSError:
                    pass
"""

FLOODS = {
    "by ZeroMQ": """
        import time, zmq

        time.sleep(0.5)
        socket = get_ipython().kernel.iopub_socket.io_thread.socket
        while True:
            socket.send(b"x" * 100_000, zmq.SNDMORE)
    """,
    "by its connections": f"{dedent(_CONNECTIONS)}\nsend()",
    "by an orphan": f"""{dedent(_CONNECTIONS)}
if os.fork() == 0:
    if os.fork() == 0:
        send()
    os._exit(0)
os.wait()
time.sleep(100)
""",
}


@pytest.mark.parametrize("code", FLOODS.values(), ids=FLOODS)
@pytest.mark.parametrize("make_pool", IMPLEMENTATIONS)
async def test_a_message_without_end_costs_its_own_kernel_alone(
    make_pool: MakePool, code: str
) -> None:
    results: list[CellResult] = []
    async with make_pool(lean_settings()) as pool:
        async with pool.lease(seed=1, owner="a") as hostile, pool.lease(seed=1, owner="b") as other:

            async def attack() -> None:
                results.append(await run(hostile, code, CELL_TIMEOUT_S))

            await output_of(other, "kept = 7")
            async with anyio.create_task_group() as group:
                group.start_soon(attack)
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


@pytest.fixture
def told() -> Iterator[Told]:
    logger, told = logging.getLogger("sandbox.flood"), Told()
    logger.addHandler(told)
    yield told
    logger.removeHandler(told)


async def watched(guard: FloodGuard, *, task_status: TaskStatus[anyio.CancelScope]) -> None:
    with anyio.CancelScope() as scope:
        task_status.started(scope)
        await guard.watch()


def new_memory(size: int) -> mmap.mmap:
    """Take memory of the system; what Python is asked for may have been this process's before."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for page in range(0, size, mmap.PAGESIZE):
        memory[page] = 1
    return memory


async def test_growth_of_our_own_ends_no_kernel(told: Told) -> None:
    async with KernelPool(lean_settings()) as pool, pool.lease(seed=1, owner="a") as kernel:
        guard = FloodGuard(pool._leased, most_growth_bytes=MOST_GROWTH_BYTES // 32)
        computing = "import time\nend = time.time() + 3\nwhile time.time() < end: sum(range(1000))"
        async with anyio.create_task_group() as group:
            group.start_soon(output_of, kernel, computing)
            watching = await group.start(watched, guard)
            await anyio.sleep(0.5)
            with new_memory(MOST_GROWTH_BYTES // 8), anyio.fail_after(TOLD_WITHIN_S):
                await told.told.wait()
            watching.cancel()
    assert "by no kernel's doing" in told.first


async def test_while_memory_cannot_be_read_nothing_has_grown(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where no descriptor is left."""
    sizes = iter([2 * MOST_GROWTH_BYTES, None, 2 * MOST_GROWTH_BYTES])
    looked = anyio.Event()

    def look() -> int | None:
        size = next(sizes, 0)
        if size == 0:
            looked.set()
        return size

    monkeypatch.setattr(flood, "own_memory_bytes", look)
    async with anyio.create_task_group() as group:
        group.start_soon(FloodGuard(lambda: ()).watch)
        with anyio.fail_after(TOLD_WITHIN_S):
            await looked.wait()
        group.cancel_scope.cancel()
    assert not told.first
