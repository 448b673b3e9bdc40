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


_POOL = """
    import multiprocessing, time
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
    from multiprocessing.pool import ThreadPool
    def spin(number):
        while number: pass
        return number
"""

#: How a pool is made, how it is given a task that waits for nothing, and how ones that never end.
_POOLS = {
    "pool": (
        "multiprocessing.get_context('fork').Pool(2)",
        "workers.map(abs, [-1])",
        "workers.map(spin, [0, 1, 2, 3, 4])",
    ),
    "pool of threads": (
        "ThreadPool(2)",
        "workers.map(abs, [-1])",
        "workers.map(spin, [0, 1, 2, 3, 4])",
    ),
    "executor of processes": (
        "ProcessPoolExecutor(2)",
        "list(workers.map(abs, [-1]))",
        "list(workers.map(spin, [0, 1, 2, 3, 4]))",
    ),
    "executor of threads": (
        "ThreadPoolExecutor(2)",
        "list(workers.map(abs, [-1]))",
        "list(workers.map(spin, [0, 1, 2, 3, 4]))",
    ),
}


@pytest.mark.parametrize(("made", "short", "endless"), _POOLS.values(), ids=_POOLS)
async def test_a_pool_of_an_interrupted_cell_stays_usable(
    kernel: KernelLease, made: str, short: str, endless: str
) -> None:
    await output_of(kernel, _POOL)
    result = await kernel.execute(f"workers = {made}\n{short}\n{endless}", 1.5)
    assert (result.status, result.state_lost) == (CellStatus.TIMEOUT, False)
    assert await output_of(kernel, short) == "[1]\n"
    result = await kernel.execute(endless, 1.0)
    assert (result.status, result.state_lost) == (CellStatus.TIMEOUT, False)
    assert await output_of(kernel, short) == "[1]\n"
    # Its tasks that no worker had begun do not go on either.
    idle = "begin = time.process_time(); time.sleep(0.5); time.process_time() - begin < 0.2"
    assert await output_of(kernel, idle) == "True\n"


@pytest.mark.parametrize(("made", "short", "_"), _POOLS.values(), ids=_POOLS)
async def test_a_pool_of_an_earlier_cell_stays_usable(
    kernel: KernelLease, made: str, short: str, _: str
) -> None:
    await output_of(kernel, _POOL)
    assert await output_of(kernel, f"workers = {made}\n{short}") == "[1]\n"
    result = await kernel.execute("while True: pass", 0.5)
    assert (result.status, result.state_lost) == (CellStatus.TIMEOUT, False)
    assert await output_of(kernel, short) == "[1]\n"


@pytest.mark.parametrize("kind", ["ThreadPoolExecutor", "ProcessPoolExecutor"])
async def test_tasks_of_an_interrupted_cell_fail_by_name(kernel: KernelLease, kind: str) -> None:
    await output_of(kernel, _POOL)
    code = f"workers = {kind}(1)\ntasks = [workers.submit(spin, n) for n in (1, 2, 3)]\nspin(1)"
    result = await kernel.execute(code, 1.0)
    assert result.status is CellStatus.TIMEOUT
    failed = await run(kernel, "tasks[-1].result()")
    assert failed.error_name in {"CancelledError", "BrokenProcessPool"}
    failed = await run(kernel, "tasks[0].result()")
    assert failed.error_name in {"CellInterrupted", "BrokenProcessPool"}


async def test_results_of_an_interrupted_pool_fail_by_name(kernel: KernelLease) -> None:
    await output_of(kernel, _POOL)
    code = """
        workers = multiprocessing.get_context("fork").Pool(2)
        later, turns = workers.apply_async(spin, (1,)), workers.imap(spin, [1, 1])
        spin(1)
    """
    result = await run(kernel, code, timeout=1.0)
    assert result.status is CellStatus.TIMEOUT
    for ask in ("later.get()", "next(turns)"):
        failed = await run(kernel, ask)
        assert failed.error_name == "CancelledError"
        assert "the cell that gave this task was interrupted" in failed.output
