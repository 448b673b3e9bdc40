"""What remains after a close, over every implementation of the pool: nothing."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from sandbox.errors import KernelStartError
from sandbox.settings import PoolSettings
from tests.sandbox.pools import IMPLEMENTATIONS, MakePool, lean_settings, output_of, run
from tests.sandbox.processes import open_descriptors, processes_mentioning, wait_until_gone


class TestNothingIsLeft:
    """After a close there is no process, file, socket or descriptor, whatever happened before."""

    @pytest.fixture(autouse=True)
    def _nothing_is_left(self) -> Iterator[None]:
        # Sockets need a short path, so not tmp_path.
        with tempfile.TemporaryDirectory(prefix="qt-") as folder:
            self.folder = Path(folder)
            before = open_descriptors()
            yield
            assert list(self.folder.iterdir()) == []
            assert processes_mentioning(folder) == []
            assert open_descriptors() - before == set()

    def settings(self, **changes: object) -> PoolSettings:
        return lean_settings(directory=self.folder, **changes)

    async def test_after_use(self, make_pool: MakePool) -> None:
        async with make_pool(self.settings(spares=1)) as pool:
            await pool.wait_ready()
            async with pool.lease(seed=1, owner="a") as kernel:
                await run(kernel, "import os; os.mkdir('a'); os.chmod('a', 0)")
            (private,) = self.folder.iterdir()
            # Kernels with users of their own get through it; what is in it stays closed.
            assert private.stat().st_mode & 0o777 in {0o700, 0o711}
            assert {path.stat().st_mode & 0o077 for path in private.glob("[0-9]*")} == {0}
            for path in private.rglob("connection.json"):
                assert path.stat().st_mode & 0o777 == 0o600

    async def test_after_folders_nested_deeper_than_python_calls(self, make_pool: MakePool) -> None:
        code = """
            import os
            for depth in range(1500):
                os.mkdir("folder" * 10)
                os.chdir("folder" * 10)
            os.chmod("..", 0)
        """
        async with make_pool(self.settings()) as pool:
            async with pool.lease(seed=1, owner="a") as kernel:
                await output_of(kernel, code)
            # The pool has survived it.
            async with pool.lease(seed=1, owner="b") as kernel:
                assert await output_of(kernel, "1 + 1") == "2\n"

    async def test_where_no_thread_can_be_started(
        self, make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def refuse(*_: object, **__: object) -> None:
            raise RuntimeError("can't start new thread")

        async with make_pool(self.settings()) as pool:
            monkeypatch.setattr("anyio.to_thread.run_sync", refuse)
            for owner in ("a", "b"):
                async with pool.lease(seed=1, owner=owner) as kernel:
                    assert await output_of(kernel, "1 + 1") == "2\n"

    async def test_after_a_kernel_was_killed(self, make_pool: MakePool) -> None:
        async with make_pool(self.settings()) as pool, pool.lease(seed=1, owner="a") as kernel:
            os.kill(int(await output_of(kernel, "import os; os.getpid()")), signal.SIGKILL)

    async def test_after_a_cancelled_cell(self, make_pool: MakePool) -> None:
        with anyio.move_on_after(1.5) as scope:
            async with make_pool(self.settings()) as pool, pool.lease(seed=1, owner="a") as kernel:
                await run(kernel, "while True: pass")
        assert scope.cancelled_caught

    @pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.3])
    async def test_after_a_cancelled_start(self, make_pool: MakePool, delay_s: float) -> None:
        with anyio.move_on_after(delay_s) as scope:
            settings = self.settings(startup_code="import time; time.sleep(60)")
            async with make_pool(settings) as pool, pool.lease(seed=1, owner="a"):
                pytest.fail("its start-up code sleeps")
        assert scope.cancelled_caught

    async def test_after_a_failed_start(self, make_pool: MakePool) -> None:
        async with make_pool(self.settings(startup_code="1 / 0")) as pool:
            with pytest.raises(KernelStartError):
                async with pool.lease(seed=1, owner="a"):
                    pytest.fail("there is no kernel to lease")

    async def test_after_children_in_sessions_of_their_own(self, make_pool: MakePool) -> None:
        code = """
            import subprocess
            child = subprocess.Popen(["setsid", "sh", "-c", "sleep 60 & sleep 60"])
            # Its parent gone, the last one is an orphan.
            subprocess.run("setsid sleep 60 &", shell=True)
            child.pid
        """
        async with make_pool(self.settings()) as pool:
            async with pool.lease(seed=1, owner="a") as kernel:
                pid = int(await output_of(kernel, code))
            assert wait_until_gone(pid)

    def test_when_the_pools_process_is_killed(self, make_pool: MakePool) -> None:
        index = [parameters.values[0] for parameters in IMPLEMENTATIONS].index(make_pool)
        program = f"""
            import anyio
            from pathlib import Path
            from tests.sandbox.pools import IMPLEMENTATIONS, lean_settings

            async def main():
                make_pool = IMPLEMENTATIONS[{index}].values[0]
                settings = lean_settings(directory=Path({str(self.folder)!r}), spares=1)
                async with make_pool(settings) as pool, pool.lease(seed=1, owner="a") as kernel:
                    await pool.wait_ready()
                    print((await kernel.execute("import os; os.getpid()")).output, flush=True)
                    await kernel.execute("while True: pass", 60)

            anyio.run(main)
        """
        root = Path(__file__).parent.parent.parent
        command = [sys.executable, "-c", textwrap.dedent(program)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as process:
            assert process.stdout is not None
            pid = int(process.stdout.readline())
            kernels = processes_mentioning(str(self.folder))
            process.kill()
        assert pid in kernels
        assert all(wait_until_gone(kernel_pid) for kernel_pid in kernels)
        # Its directory cannot remove itself.
        for left in self.folder.iterdir():
            shutil.rmtree(left)
