"""What is particular to forked kernels: the template process, its loss, its refusals."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from sandbox.directory import PoolDirectory
from sandbox.errors import (
    ForkingImpossibleError,
    KernelStartError,
    TemplateError,
    TemplateImportError,
)
from sandbox.factories import FallbackFactory
from sandbox.forked import ForkedFactory
from sandbox.kernel import Kernel
from sandbox.pool import KernelPool
from sandbox.settings import PoolSettings
from sandbox.types import CellStatus, LossReason, StartMethod
from tests.sandbox.pools import lean_settings, output_of, run
from tests.sandbox.processes import open_descriptors, processes_mentioning, wait_until_gone

#: Leaves a thread in the template.
THREAD = (
    "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
)


@asynccontextmanager
async def forked_factory(settings: PoolSettings) -> AsyncIterator[ForkedFactory]:
    async with (
        PoolDirectory(settings.directory) as directory,
        ForkedFactory(settings, directory) as factory,
    ):
        yield factory


@asynccontextmanager
async def closing(kernel: Kernel) -> AsyncIterator[Kernel]:
    try:
        yield kernel
    finally:
        await kernel.aclose()


def forked_pool(**changes: object) -> KernelPool:
    return KernelPool(lean_settings(**changes), make_factory=ForkedFactory)


def parent_of(pid: int) -> int:
    (line,) = (
        line
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        if line.startswith("PPid:")
    )
    return int(line.split()[1])


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()


def threads_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def open_files(pid: int) -> set[str]:
    return {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}


async def template_of(pool: KernelPool) -> int:
    """The id of the template, asked of a kernel of its."""
    async with pool.lease(seed=0, owner="asks") as kernel:
        return parent_of(int(await output_of(kernel, "import os; os.getpid()")))


class TestKernels:
    async def test_they_share_what_the_template_has_imported(self) -> None:
        settings = lean_settings(
            preload=("json.tool",), startup_code="made = object(); import math"
        )
        async with forked_factory(settings) as factory:
            async with closing(await factory.start()) as kernel:
                code = "import sys; print('json.tool' in sys.modules, math.pi > 3, id(made))"
                first = await kernel.execute(code, 20)
                assert "json.tool" in factory.status().import_seconds
                assert factory.status().forks == 1
            async with closing(await factory.start()) as kernel:
                # The same object, at the same place in the memory that both were forked from.
                assert (await kernel.execute(code, 20)).output == first.output
        assert first.output.startswith("True True ")

    async def test_functions_of_the_start_up_code_see_the_cells_names(self) -> None:
        settings = lean_settings(startup_code="def shown():\n    return x + 1\n")
        async with (
            forked_factory(settings) as factory,
            closing(await factory.start()) as kernel,
        ):
            assert (await kernel.execute("x = 41\nshown()", 20)).output == "42\n"
            assert (await kernel.execute("shown.__module__", 20)).output == "'__main__'\n"

    async def test_their_shell_s_store_is_in_their_own_profile(self) -> None:
        """The template's may not be looked into by a kernel that has a user of its own."""
        code = (
            "import os; root = getattr(get_ipython().db, 'root', None)\n"
            "root is None or str(root).startswith(os.environ['IPYTHONDIR'])"
        )
        async with (
            forked_factory(lean_settings()) as factory,
            closing(await factory.start()) as kernel,
        ):
            assert (await kernel.execute(code, 20)).output == "True\n"

    async def test_nothing_of_the_templates_is_open_in_them(self) -> None:
        async with forked_factory(lean_settings()) as factory:
            kernels = [await factory.start() for _ in range(3)]
            try:
                ours = open_files(kernels[2].process.pid)
                theirs = open_files(parent_of(kernels[2].process.pid))
                assert "anon_inode:[pidfd]" in theirs - ours
                # Kinds of things that have no names of their own.
                assert ours & theirs <= {os.devnull, "anon_inode:[eventpoll]"}
            finally:
                for kernel in kernels:
                    await kernel.aclose()

    async def test_the_template_has_one_thread(self) -> None:
        async with forked_pool() as pool:
            template = await template_of(pool)
            assert threads_of(template) == 1

    async def test_ended_kernels_do_not_stay_as_zombies(self) -> None:
        async with forked_pool(kernels=1) as pool:
            template = await template_of(pool)
            for _ in range(3):
                async with pool.lease(seed=0, owner="a") as kernel:
                    await run(kernel, "import os; os._exit(0)")
            async with pool.lease(seed=0, owner="b"):
                with anyio.fail_after(10):
                    while len(children_of(template)) > 1:
                        await anyio.lowlevel.checkpoint()


class TestLoss:
    async def test_a_killed_template_takes_its_kernels_and_is_replaced(self) -> None:
        async with forked_pool() as pool, pool.lease(seed=0, owner="a") as kernel:
            pid = int(await output_of(kernel, "import os; x = 1; os.getpid()"))
            template = parent_of(pid)
            os.kill(template, signal.SIGKILL)
            assert wait_until_gone(pid)
            result = await run(kernel, "'x' in globals()")
            assert (result.status, result.output) == (CellStatus.OK, "False\n")
            assert result.state_lost
            assert parent_of(int(await output_of(kernel, "import os; os.getpid()"))) != template

    async def test_a_cell_in_its_middle_says_so(self) -> None:
        async with forked_pool() as pool, pool.lease(seed=0, owner="a") as kernel:
            code = "print('begin', flush=True)\nimport time; time.sleep(60)"
            template = parent_of(int(await output_of(kernel, "import os; os.getpid()")))

            async def kill() -> None:
                os.kill(template, signal.SIGKILL)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(kill)
                result = await run(kernel, code)
            assert result.status is CellStatus.DIED
            assert result.state_lost
            assert (await run(kernel, "1")).output == "1\n"

    async def test_spares_of_a_killed_template_are_replaced_unasked(self) -> None:
        async with forked_pool(kernels=2, spares=2) as pool:
            await pool.wait_ready()
            template = parent_of(next(iter(pool._spare)).process.pid)
            os.kill(template, signal.SIGKILL)
            with anyio.fail_after(30):
                while pool.status().lost.get(LossReason.DIED) != 2:
                    await anyio.lowlevel.checkpoint()
            await pool.wait_ready(2)
            assert pool.status().started == 4

    async def test_a_stopped_template_is_killed_and_replaced(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sandbox.template._ANSWER_WAIT_S", 0.2)
        async with forked_pool() as pool:
            template = await template_of(pool)
            os.kill(template, signal.SIGSTOP)
            with pytest.raises(TemplateError, match="did not answer"):
                async with pool.lease(seed=0, owner="a"):
                    pytest.fail("a stopped template forks nothing")
            assert wait_until_gone(template)
            monkeypatch.setattr("sandbox.template._ANSWER_WAIT_S", 20)
            async with pool.lease(seed=0, owner="b") as kernel:
                assert await output_of(kernel, "1") == "1\n"


class TestRefusals:
    async def test_a_module_that_cannot_be_imported_is_named(self) -> None:
        async with forked_factory(lean_settings(preload=("math", "no.such.module"))) as factory:
            with pytest.raises(
                TemplateImportError, match=r"'no\.such\.module'.*No module"
            ) as caught:
                await factory.start()
            assert caught.value.module == "no.such.module"

    async def test_a_broken_module_is_named_also_where_it_is_optional(self, tmp_path: Path) -> None:
        tmp_path.joinpath("broken.py").write_text("import no_such_module", encoding="utf-8")
        settings = lean_settings(
            preload_if_installed=("no.such.module", "broken"),
            environment={"PYTHONPATH": str(tmp_path)},
        )
        async with forked_factory(settings) as factory:
            with pytest.raises(TemplateImportError, match=r"'broken'.*no_such_module"):
                await factory.start()

    async def test_modules_that_are_not_installed_may_be_optional(self) -> None:
        settings = lean_settings(preload_if_installed=("no_such_module", "json"))
        async with forked_factory(settings) as factory, closing(await factory.start()):
            assert list(factory.status().import_seconds) == ["json"]

    async def test_start_up_code_that_fails_is_shown_with_its_line(self) -> None:
        settings = lean_settings(startup_code="import math\nimport no_such_module\n")
        async with forked_factory(settings) as factory:
            with pytest.raises(
                KernelStartError, match=r"line 2: .*No module named 'no_such_module'"
            ):
                await factory.start()

    async def test_threads_forbid_forking(self) -> None:
        async with forked_factory(lean_settings(startup_code=THREAD)) as factory:
            with pytest.raises(ForkingImpossibleError, match="2 threads"):
                await factory.start()

    async def test_a_failed_template_is_tried_again(self, tmp_path: Path) -> None:
        switch = tmp_path / "switch"
        settings = lean_settings(startup_code=f"open({str(switch)!r}).close()")
        async with KernelPool(settings, make_factory=ForkedFactory) as pool:
            with pytest.raises(TemplateError, match="No such file"):
                async with pool.lease(seed=0, owner="a"):
                    pytest.fail("its start-up code fails")
            switch.touch()
            async with pool.lease(seed=0, owner="b") as kernel:
                assert await output_of(kernel, "1") == "1\n"


class TestFallback:
    async def test_where_forking_is_possible_it_is_used(self) -> None:
        async with KernelPool(lean_settings()) as pool, pool.lease(seed=0, owner="a"):
            status = pool.status()
            assert (status.start_method, status.start_detail) == (StartMethod.FORK, "")
            assert status.forks == 1

    @pytest.mark.parametrize("startup_code", [THREAD, "import os; os.getppid() and None"])
    async def test_elsewhere_kernels_are_started_cold(
        self, startup_code: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if startup_code is not THREAD:
            monkeypatch.setattr("sandbox.factories.forking_obstacle", lambda: "not here")
        async with KernelPool(lean_settings(startup_code=startup_code)) as pool:
            async with pool.lease(seed=0, owner="a") as kernel:
                pid = int(await output_of(kernel, "import os; os.getpid()"))
                assert parent_of(pid) == os.getpid()
            status = pool.status()
            assert status.start_method is StartMethod.COLD
            assert status.start_detail.startswith("not forked: ")

    @pytest.mark.parametrize("method", [StartMethod.FORK, StartMethod.COLD])
    async def test_a_method_can_be_asked_for(self, method: StartMethod) -> None:
        settings = lean_settings(start_method=method)
        async with KernelPool(settings) as pool, pool.lease(seed=0, owner="a"):
            assert pool.status().start_method is method

    async def test_a_mistake_of_the_operator_is_no_reason_to_start_cold(self) -> None:
        settings = lean_settings(preload=("no_such_module",))
        async with (
            PoolDirectory(None) as directory,
            FallbackFactory(settings, directory) as factory,
        ):
            with pytest.raises(TemplateImportError):
                await factory.start()


class TestElasticity:
    async def test_a_minimum_is_kept_beside_the_spares(self) -> None:
        async with forked_pool(kernels=4, spares=1, minimum=3) as pool:
            await pool.wait_ready()
            assert pool.status().spare == 3
            async with pool.lease(seed=0, owner="a"), pool.lease(seed=0, owner="b"):
                await pool.wait_ready()
                assert pool.status().spare == 1
                async with pool.lease(seed=0, owner="c"):
                    await pool.wait_ready()
                    assert pool.status().spare == 1

    async def test_waits_are_measured(self) -> None:
        async with forked_pool(kernels=1) as pool:
            async with pool.lease(seed=0, owner="a"):
                first = pool.status()
                assert first.leases == 1
                assert first.wait_seconds == first.longest_wait_seconds > 0
            async with pool.lease(seed=0, owner="b"):
                second = pool.status()
            assert second.leases == 2
            assert second.wait_seconds > first.wait_seconds


class TestLeftovers:
    async def test_a_cancelled_start_leaves_no_process(self) -> None:
        before = open_descriptors()
        with anyio.move_on_after(0.3) as scope:
            sleeping = forked_pool(startup_code="import time; time.sleep(60)")
            async with sleeping as pool, pool.lease(seed=0, owner="a"):
                pytest.fail("its start-up code sleeps")
        assert scope.cancelled_caught
        assert open_descriptors() - before == set()

    async def test_processes_left_by_a_killed_kernel_end(self) -> None:
        async with forked_pool() as pool, pool.lease(seed=0, owner="a") as kernel:
            code = """
                import os, subprocess
                subprocess.run("setsid sleep 60 & echo $!", shell=True)
                os.kill(os.getpid(), 9)
            """
            result = await run(kernel, code)
            assert wait_until_gone(int(result.output.splitlines()[0]))

    async def test_the_environment_of_the_template_holds_no_secret(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("API_TOKEN", "a-secret-of-the-server")
        async with forked_pool() as pool:
            template = await template_of(pool)
            assert template not in processes_mentioning("a-secret-of-the-server")
