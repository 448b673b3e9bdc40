"""Threads of interrupted cells, over every implementation of the pool."""

import anyio
import pytest

from sandbox.lease import KernelLease
from sandbox.types import CellStatus
from tests.sandbox.pools import output_of, run

_SPINNING = """
    import threading
    from concurrent.futures import ThreadPoolExecutor
    begun = threading.Semaphore(0)
    def spin(number):
        spinning.append(threading.current_thread())
        begun.release()
        while True: pass
    spinning = []
"""

_WAYS = {
    "a pool": "with ThreadPoolExecutor(2) as workers: list(workers.map(spin, range(4)))",
    "tasks that wait": "with ThreadPoolExecutor(2) as workers:\n"
    "    tasks = [workers.submit(spin, number) for number in range(4)]\n"
    "    tasks[0].result()",
    "threads": "threads = [threading.Thread(target=spin, args=(n,)) for n in range(2)]\n"
    "for thread in threads: thread.start()\n"
    "for thread in threads: thread.join()",
}


@pytest.mark.parametrize("code", _WAYS.values(), ids=_WAYS)
async def test_threads_end_with_an_interrupted_cell(kernel: KernelLease, code: str) -> None:
    await output_of(kernel, _SPINNING)
    result = await kernel.execute(code, 1.0)
    assert (result.status, result.state_lost) == (CellStatus.TIMEOUT, False)
    assert "SystemExit" not in result.output
    # Workers of a pool take the tasks that wait first; each cell ends one more.
    with anyio.fail_after(20):
        alive = ""
        while alive != "[False, False]\n":
            alive = await output_of(kernel, "[each.is_alive() for each in set(spinning)]")


async def test_threads_of_earlier_cells_go_on(kernel: KernelLease) -> None:
    await output_of(
        kernel,
        """
        import threading, time
        go = threading.Event()
        waiting = threading.Thread(target=go.wait, daemon=True)
        waiting.start()
        """,
    )
    result = await run(kernel, "while True: pass", timeout=0.5)
    assert result.status is CellStatus.TIMEOUT
    assert await output_of(kernel, "waiting.is_alive()") == "True\n"
    assert await output_of(kernel, "go.set(); waiting.join(); waiting.is_alive()") == "False\n"
