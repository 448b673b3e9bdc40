"""The contract of a kernel pool: every implementation, real kernels, through its interface alone.

It goes on in tests/sandbox: test_cells.py (what is shown), test_nothing_is_left.py (after a close).
"""

import os
import signal
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest

from sandbox import lease
from sandbox.errors import (
    CellTimeoutError,
    CodeTooLargeError,
    KernelStartError,
    LeaseBusyError,
    LeaseNotEnteredError,
    LeaseReleasedError,
    PoolClosedError,
    PoolNotReadyError,
)
from sandbox.lease import TAKEN_AT_MOST, KernelLease
from sandbox.pool import KernelPool
from sandbox.settings import PoolSettings
from sandbox.startup import seeding_code
from sandbox.types import CellStatus, InterruptStep, LossReason
from tests.sandbox.pools import (
    GRACE_S,
    IMPLEMENTATIONS,
    MakePool,
    lean_settings,
    output_of,
    run,
)
from tests.sandbox.processes import wait_until_gone


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def make_pool(request: pytest.FixtureRequest) -> MakePool:
    maker: MakePool = request.param
    return maker


@pytest.fixture(scope="module")
async def shared_pool(make_pool: MakePool) -> AsyncIterator[KernelPool]:
    async with make_pool(lean_settings(kernels=4, spares=2)) as pool:
        yield pool


@pytest.fixture
async def kernel(shared_pool: KernelPool) -> AsyncIterator[KernelLease]:
    async with shared_pool.lease(seed=1, owner="test") as lease:
        yield lease


class TestStart:
    async def test_the_promised_names_are_bound_and_the_seed_repeats(
        self, make_pool: MakePool
    ) -> None:
        names = (
            "math, np, numpy, scipy, sp, sympy, mpmath, itertools, collections, functools,"
            " fractions, decimal, random"
        )
        draw = (
            "from sympy.core.random import rng\n"
            "(random.random(), float(np.random.random()), rng.random(), mpmath.mp.dps)"
        )

        async def drawn(seed: int) -> str:
            async with pool.lease(seed=seed, owner="test") as kernel:
                assert (await run(kernel, names)).status is CellStatus.OK
                return await output_of(kernel, draw)

        async with make_pool(PoolSettings(kernels=2, spares=2)) as pool:
            first, second, other = await drawn(7), await drawn(7), await drawn(8)
        assert first == second
        assert first != other
        assert first.endswith(", 64)\n")

    async def test_only_a_short_list_of_variables_gets_in(
        self, make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("API_TOKEN", "a-secret-of-the-server")
        code = """
            import os
            print("a-secret" in repr(os.environ))
            print(os.environ["HOME"] == os.environ["TMPDIR"] == os.getcwd())
            print([os.environ[name] for name in ("LOGNAME", "OMP_NUM_THREADS", "EXTRA")])
        """
        settings = lean_settings(environment={"EXTRA": "yes"})
        async with make_pool(settings) as pool, pool.lease(seed=1, owner="test") as kernel:
            assert await output_of(kernel, code) == "False\nTrue\n['quorum', '1', 'yes']\n"

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"startup_code": "1 / 0"}, "division by zero"),
            ({"python": "/nowhere/python"}, "/nowhere/python"),
            ({"start_timeout_s": 0.05}, "start_timeout_s"),
        ],
    )
    async def test_a_failed_start_is_reported_to_the_lease(
        self, make_pool: MakePool, changes: dict[str, object], message: str
    ) -> None:
        async with make_pool(lean_settings(**changes)) as pool:
            with pytest.raises(KernelStartError, match=message):
                async with pool.lease(seed=1, owner="test"):
                    pytest.fail("there is no kernel to lease")
            assert pool.status().leased == 0
            assert pool.status().lost == {LossReason.START: 1}
            with pytest.raises(KernelStartError, match=message):
                await pool.wait_ready()

    @pytest.mark.parametrize("deaths", [1, TAKEN_AT_MOST])
    async def test_a_kernel_that_ends_as_it_is_handed_over_is_replaced(
        self, make_pool: MakePool, monkeypatch: pytest.MonkeyPatch, deaths: int
    ) -> None:
        """As spares do whose template is killed; a few times at most, then the lease is told."""
        codes = iter(["import os; os.kill(os.getpid(), 9)"] * deaths)
        monkeypatch.setattr(lease, "seeding_code", lambda seed: next(codes, seeding_code(seed)))
        async with make_pool(lean_settings()) as pool:
            if deaths == TAKEN_AT_MOST:
                with pytest.raises(KernelStartError, match="seeding failed"):
                    await pool.lease(seed=1, owner="test").__aenter__()
            async with pool.lease(seed=1, owner="test") as kernel:
                result = await run(kernel, "1 + 1")
            assert (result.output, result.state_lost) == ("2\n", False)
            assert pool.status().lost == {LossReason.START: deaths}


class TestTimeouts:
    async def test_a_python_loop_is_interrupted_and_keeps_its_state(
        self, kernel: KernelLease
    ) -> None:
        result = await run(kernel, "x = 0\nprint('begin')\nwhile True:\n    x += 1", timeout=0.3)
        assert result.status is CellStatus.TIMEOUT
        assert result.interrupt_step is InterruptStep.SIGINT
        assert not result.state_lost
        assert result.output.startswith("begin\n")
        assert "[stopped after 0.3 s; variables are kept]" in result.output
        assert 0.3 <= result.seconds < 0.3 + GRACE_S
        assert await output_of(kernel, "x > 0") == "True\n"

    async def test_a_cell_that_swallows_one_interrupt_needs_the_second(
        self, kernel: KernelLease
    ) -> None:
        code = """
            x = 0
            try:
                while True:
                    x += 1
            except KeyboardInterrupt:
                while True:
                    x += 1
        """
        result = await run(kernel, code, timeout=0.3)
        assert result.interrupt_step is InterruptStep.POKE
        assert not result.state_lost
        assert await output_of(kernel, "'mine'") == "'mine'\n"

    @pytest.mark.parametrize(
        "loop",
        [
            "while True:\n    try: time.sleep(60)\n    except BaseException: pass",
            "sum(range(3 * 10**10))",
            "signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True:\n    x += 1",
        ],
        ids=["swallows", "in C", "ignores"],
    )
    async def test_what_no_interrupt_stops_is_killed_and_replaced(
        self, kernel: KernelLease, loop: str
    ) -> None:
        code = f"import signal, time\nx = 0\nprint('begin')\n{loop}"
        result = await run(kernel, code, timeout=0.3)
        assert result.status is CellStatus.TIMEOUT
        assert result.interrupt_step is InterruptStep.KILL
        assert result.state_lost
        assert result.output.startswith("begin\n")
        assert "lost" in result.output
        assert result.seconds < 0.3 + 2 * GRACE_S + 1
        after = await run(kernel, "'x' in globals()")
        assert after.output == "False\n"
        assert not after.state_lost

    async def test_children_are_interrupted_with_the_cell(self, kernel: KernelLease) -> None:
        result = await run(kernel, "import os; os.system('sleep 60')", timeout=0.3)
        assert result.status is CellStatus.TIMEOUT
        assert not result.state_lost

    async def test_an_interrupt_between_cells_changes_nothing(self, kernel: KernelLease) -> None:
        pid = int(await output_of(kernel, "import os; os.getpid()"))
        os.kill(pid, signal.SIGINT)
        assert await output_of(kernel, "os.getpid()") == f"{pid}\n"


class TestDeath:
    @pytest.mark.parametrize(
        ("code", "cause"),
        [
            ("import os; os._exit(3)", "exit code 3"),
            ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
            ("import ctypes; ctypes.string_at(0)", "(signal 11, as of a recursion"),
        ],
    )
    async def test_a_kernel_that_dies_is_replaced(
        self, kernel: KernelLease, code: str, cause: str
    ) -> None:
        result = await run(kernel, f"x = 1\nprint('begin')\n{code}")
        assert result.status is CellStatus.DIED
        assert result.state_lost
        assert result.output.startswith("begin\n")
        assert cause in result.output
        assert result.seconds < 5
        assert await output_of(kernel, "'x' in globals()") == "False\n"

    async def test_a_death_between_cells_is_told_with_the_next(
        self, kernel: KernelLease, shared_pool: KernelPool
    ) -> None:
        before = shared_pool.status().lost.get(LossReason.DIED, 0)
        pid = int(await output_of(kernel, "import os; os.getpid()"))
        os.kill(pid, signal.SIGKILL)
        assert wait_until_gone(pid)
        result = await run(kernel, "'alive'")
        assert (result.status, result.output) == (CellStatus.OK, "'alive'\n")
        assert result.state_lost
        assert shared_pool.status().lost[LossReason.DIED] == before + 1

    async def test_memory_is_limited(self, make_pool: MakePool) -> None:
        settings = lean_settings(memory_limit_bytes=1 << 30)
        async with make_pool(settings) as pool, pool.lease(seed=1, owner="test") as kernel:
            result = await run(kernel, "x = 1\ny = bytearray(2 << 30)")
            assert result.error_name == "MemoryError"
            assert not result.state_lost
            await run(kernel, "hog = []\nwhile True:\n    hog.append(bytearray(10_000_000))")
            assert (await run(kernel, "1")).status is CellStatus.OK

    async def test_files_are_limited(self, make_pool: MakePool) -> None:
        settings = lean_settings(file_limit_bytes=1 << 20)
        async with make_pool(settings) as pool, pool.lease(seed=1, owner="test") as kernel:
            result = await run(kernel, "open('big', 'wb').write(bytes(2 << 20))")
            assert result.error_name == "OSError"


class TestLeases:
    @pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
    async def test_a_time_out_must_be_one(self, kernel: KernelLease, timeout: float) -> None:  # noqa: ASYNC109
        with pytest.raises(CellTimeoutError, match="must be a positive number"):
            await kernel.execute("1", timeout)

    async def test_code_has_a_bound(self, kernel: KernelLease) -> None:
        with pytest.raises(CodeTooLargeError, match="1000001 bytes: at most 1000000"):
            await kernel.execute("#" * 1_000_001)
        assert await output_of(kernel, "#" * 999_998 + "\n1") == "1\n"

    async def test_a_lease_ends_with_its_block(self, shared_pool: KernelPool) -> None:
        lease = shared_pool.lease(seed=1, owner="mine")
        with pytest.raises(LeaseNotEnteredError, match="mine"):
            await lease.execute("1")
        async with lease:
            with pytest.raises(LeaseNotEnteredError, match="twice"):
                await lease.__aenter__()
        with pytest.raises(LeaseReleasedError, match="mine"):
            await lease.execute("1")
        with pytest.raises(LeaseReleasedError, match="already released"):
            lease.release()

    async def test_a_lease_can_end_early_but_once(self, shared_pool: KernelPool) -> None:
        async with shared_pool.lease(seed=1, owner="mine") as lease:
            pid = int(await output_of(lease, "import os; os.getpid()"))
            lease.release()
            assert wait_until_gone(pid)
            with pytest.raises(LeaseReleasedError):
                lease.release()

    async def test_one_cell_at_a_time(self, kernel: KernelLease) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kernel.execute, "import time; time.sleep(0.5)")
            await anyio.lowlevel.checkpoint()
            with pytest.raises(LeaseBusyError, match="one cell at a time"):
                await kernel.execute("1")
        assert await output_of(kernel, "2") == "2\n"

    async def test_a_cancelled_cell_costs_the_kernel_not_the_lease(
        self, kernel: KernelLease, shared_pool: KernelPool
    ) -> None:
        pid = int(await output_of(kernel, "import os; os.getpid()"))
        with anyio.move_on_after(0.2) as scope:
            await run(kernel, "while True: pass")
        assert scope.cancelled_caught
        assert wait_until_gone(pid)
        assert shared_pool.status().lost[LossReason.CANCELLED] >= 1
        result = await run(kernel, "'os' in globals()")
        assert result.output == "False\n"
        assert result.state_lost
        assert not (await run(kernel, "1")).state_lost

    async def test_leases_are_given_in_order_of_arrival(self, make_pool: MakePool) -> None:
        order: list[int] = []

        async def attempt(number: int) -> None:
            async with pool.lease(seed=number, owner=f"attempt-{number}") as kernel:
                order.append(number)
                await run(kernel, "1")

        async with make_pool(lean_settings(kernels=1)) as pool, anyio.create_task_group() as tasks:
            holder = pool.lease(seed=0, owner="holder")
            await holder.__aenter__()
            for number in range(3):
                tasks.start_soon(attempt, number)
                await anyio.wait_all_tasks_blocked()
            status = pool.status()
            assert (status.size, status.leased, status.waiting) == (1, 1, 3)
            assert status.owners == ("holder",)
            assert order == []
            holder.release()
        assert order == [0, 1, 2]

    async def test_a_wait_for_a_lease_can_be_cancelled(self, make_pool: MakePool) -> None:
        async with make_pool(lean_settings(kernels=1)) as pool:
            async with pool.lease(seed=0, owner="holder"):
                with anyio.move_on_after(0.05) as scope:
                    async with pool.lease(seed=1, owner="waiter"):
                        pytest.fail("the only kernel is out")
                assert scope.cancelled_caught
                assert pool.status().waiting == 0
            async with pool.lease(seed=2, owner="next") as kernel:
                assert await output_of(kernel, "1") == "1\n"

    async def test_a_start_that_nobody_waits_for_any_more_is_a_spare(
        self, make_pool: MakePool
    ) -> None:
        async with make_pool(lean_settings(kernels=1, spares=1)) as pool:
            with anyio.move_on_after(0.01):
                async with pool.lease(seed=1, owner="hurried"):
                    pytest.fail("no kernel starts in 10 ms")
            await pool.wait_ready(1)
            assert pool.status().started == 1


class TestPool:
    async def test_it_counts_what_happens(self, make_pool: MakePool) -> None:
        async with make_pool(lean_settings(kernels=2, spares=1)) as pool:
            await pool.wait_ready()
            assert (pool.status().spare, pool.status().started) == (1, 1)
            async with pool.lease(seed=1, owner="a") as kernel:
                await run(kernel, "1")
                await run(kernel, "sum(range(3 * 10**10))", timeout=0.1)
                status = pool.status()
            assert (status.leased, status.owners, status.cells) == (1, ("a",), 2)
            assert status.cell_seconds > 0.1
            assert status.lost == {LossReason.TIMEOUT: 1}
            assert pool.status().leased == 0

    async def test_it_must_be_open(self, make_pool: MakePool) -> None:
        pool = make_pool(lean_settings())
        with pytest.raises(PoolClosedError):
            async with pool.lease(seed=1, owner="early"):
                pytest.fail("the pool is not open")
        with pytest.raises(PoolClosedError):
            await pool.wait_ready()
        async with pool, pool.lease(seed=1, owner="test"):
            pass
        with pytest.raises(PoolClosedError):
            async with pool.lease(seed=1, owner="late"):
                pytest.fail("the pool is closed")
        with pytest.raises(PoolClosedError, match="make a new KernelPool"):
            await pool.__aenter__()

    async def test_closing_fails_those_who_wait(self, make_pool: MakePool) -> None:
        failed = anyio.Event()

        async def attempt() -> None:
            with pytest.raises(PoolClosedError):
                async with pool.lease(seed=1, owner="waiter"):
                    pytest.fail("the pool closed first")
            failed.set()

        async with anyio.create_task_group() as tasks:
            async with make_pool(lean_settings(kernels=1)) as pool:
                holder = pool.lease(seed=1, owner="holder")
                await holder.__aenter__()
                tasks.start_soon(attempt)
                await anyio.wait_all_tasks_blocked()
            with pytest.raises(PoolClosedError):
                await holder.execute("1")
            holder.release()
        assert failed.is_set()

    async def test_the_callers_own_error_comes_out_as_it_is(self, make_pool: MakePool) -> None:
        with pytest.raises(KeyError):
            async with make_pool(lean_settings(spares=1)):
                raise KeyError

    async def test_readiness_is_awaited_in_bounded_time(self, make_pool: MakePool) -> None:
        async with make_pool(lean_settings(spares=1)) as pool:
            with pytest.raises(PoolNotReadyError, match="0 spare kernels"):
                await pool.wait_ready(timeout=0.01)
