"""Kernels of a confined pool do what mathematics needs; tests/hostile shows what they cannot."""

import sys
from collections.abc import AsyncIterator

import pytest

from sandbox.confinement.tiers import Tier
from sandbox.lease import KernelLease
from sandbox.pool import KernelPool
from sandbox.types import CellStatus
from tests.sandbox.confinement.test_warden import is_running, until
from tests.sandbox.pools import lean_settings, output_of, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="confinement is Linux'")

MIB = 1024 * 1024


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[KernelPool]:
    settings = lean_settings(kernels=1, scratch_limit_bytes=32 * MIB, memory_limit_bytes=1024 * MIB)
    async with KernelPool(settings) as pool:
        yield pool


@pytest.fixture
async def kernel(pool: KernelPool) -> AsyncIterator[KernelLease]:
    async with pool.lease(seed=0, owner="test") as lease:
        yield lease


async def test_the_pool_says_its_tier_and_what_it_lacks(pool: KernelPool) -> None:
    status = pool.status()
    assert (status.tier is Tier.FULL) == (not status.not_guaranteed)


async def test_what_mathematics_needs_works(kernel: KernelLease) -> None:
    output = await output_of(
        kernel,
        """
        import os, subprocess, sys, tempfile, threading
        from concurrent.futures import ThreadPoolExecutor
        with tempfile.TemporaryFile() as file: print(file.write(b"scratch"))
        print(os.getcwd() == os.environ["HOME"], os.path.exists("/proc/self/status"))
        code = "import math; print(math.comb(50, 25))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        print(done.stdout + done.stderr, end="")
        with ThreadPoolExecutor(16) as workers: print(sum(workers.map(abs, range(-9, 0))))
        import asyncio
        loop = threading.Thread(target=lambda: print(asyncio.run(asyncio.sleep(0, "awaited"))))
        loop.start(); loop.join()
        """,
    )
    assert output == "7\nTrue True\n126410606437752\n45\nawaited\n"


async def test_a_pool_of_processes_works_or_says_what_it_lacks(
    pool: KernelPool, kernel: KernelLease
) -> None:
    result = await run(
        kernel,
        """
        import multiprocessing
        with multiprocessing.Pool(3) as workers: print(workers.map(abs, range(-3, 0)))
        """,
    )
    if "own mounts" in " ".join(pool.status().confinement_notes):
        # Semaphores are files of /dev/shm, which is everybody's there.
        assert (result.status, result.error_name) == (CellStatus.ERROR, "PermissionError")
    else:
        assert result.output == "[3, 2, 1]\n"


async def test_deep_recursion_can_be_asked_for(kernel: KernelLease) -> None:
    output = await output_of(
        kernel,
        """
        import resource, sys, threading
        resource.setrlimit(resource.RLIMIT_STACK, (resource.RLIM_INFINITY,) * 2)
        sys.setrecursionlimit(10**6)
        threading.stack_size(128 * 2**20)
        def depth(n): return n and 1 + depth(n - 1)
        thread = threading.Thread(target=lambda: print(depth(20_000)))
        thread.start(); thread.join()
        """,
    )
    assert output == "20000\n"


async def test_scratch_is_bounded_and_new_for_the_next_lease(pool: KernelPool) -> None:
    async with pool.lease(seed=0, owner="first") as kernel:
        result = await run(
            kernel,
            """
            import time
            for number in range(40):
                with open(f"part-{number}", "wb") as file: file.write(bytes(2**20))
            time.sleep(30)
            """,
        )
    ended = result.status is CellStatus.DIED and "in its folder" in result.output
    full = result.error_name == "OSError" and "No space left on device" in result.output
    assert ended or full, result
    async with pool.lease(seed=0, owner="second") as kernel:
        assert await output_of(kernel, "import os; print(os.listdir('.'))") == "[]\n"


async def test_a_kernel_that_the_warden_ends_says_why(kernel: KernelLease) -> None:
    result = await run(
        kernel,
        """
        import time
        with open("../big", "wb") as file: file.write(bytes(40 * 2**20))
        time.sleep(50)
        """,
        45,
    )
    assert result.status is CellStatus.DIED, result
    assert "ended for taking more than 33554432 bytes in its folder" in result.output


async def test_files_that_only_a_mapping_holds_count(kernel: KernelLease) -> None:
    result = await run(
        kernel,
        """
        import ctypes, os, time
        library = ctypes.CDLL(None)
        library.mmap.restype = ctypes.c_void_p
        for _ in range(20):
            # Beside its own folder, which may be a file system of its own.
            descriptor = os.open("../held", os.O_CREAT | os.O_RDWR)
            os.unlink("../held")
            os.write(descriptor, bytes(8 << 20))
            page = ctypes.c_size_t(4096), 1, 1, descriptor, ctypes.c_size_t(0)
            assert library.mmap(None, *page) != ctypes.c_void_p(-1).value
            os.close(descriptor)
        time.sleep(60)
        """,
    )
    assert result.status is CellStatus.DIED
    assert "bytes in files without a name" in result.output


async def test_one_lease_leaves_nothing_running_for_the_next(pool: KernelPool) -> None:
    daemon = """
        import os, signal, sys
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                os.write(writer, str(os.getpid()).encode())
                signal.pause()
            os._exit(0)
        print(int(os.read(reader, 9)))
    """
    async with pool.lease(seed=0, owner="first") as kernel:
        pid = int(await output_of(kernel, daemon))
    await until(lambda: not is_running(pid))


async def test_figures_are_told_and_closed_with_their_cell(kernel: KernelLease) -> None:
    """As in any Jupyter kernel."""
    pytest.importorskip("matplotlib")
    figure = "<Figure size 640x480 with 1 Axes>\n"
    assert await output_of(kernel, "import matplotlib.pyplot as plt\nplt.plot([1, 2]);") == figure
    shown = await output_of(kernel, "plt.plot([1])\nplt.savefig('a.png')\nplt.show()\nprint('end')")
    assert shown == f"{figure}end\n"
    assert await output_of(kernel, "plt.get_fignums()") == "[]\n"
    assert await output_of(kernel, "import os; os.path.getsize('a.png') > 1000") == "True\n"
