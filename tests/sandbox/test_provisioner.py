"""Forked kernels in the hands of jupyter_client's own managers and clients."""

import json
import queue
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

from sandbox.provisioner import ForkedProvisioner, shared_host
from tests.sandbox.processes import processes_mentioning, wait_until_gone

SPECIFICATION = {
    "argv": [],
    "display_name": "Quorum",
    "language": "python",
    "metadata": {"kernel_provisioner": {"provisioner_name": "quorum-forked"}},
}


@pytest.fixture(scope="module", autouse=True)
def _host_ends_with_the_module() -> Iterator[None]:
    yield
    shared_host().close()
    shared_host.cache_clear()


@pytest.fixture
def specifications(tmp_path: Path) -> KernelSpecManager:
    folder = tmp_path / "kernels" / "quorum"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(SPECIFICATION), encoding="utf-8")
    return KernelSpecManager(kernel_dirs=[str(folder.parent)])


@pytest.fixture
async def manager(
    specifications: KernelSpecManager, tmp_path: Path
) -> AsyncIterator[AsyncKernelManager]:
    manager = AsyncKernelManager(
        kernel_name="quorum",
        kernel_spec_manager=specifications,
        connection_file=str(tmp_path / "connection.json"),
    )
    await manager.start_kernel()
    try:
        yield manager
    finally:
        await manager.shutdown_kernel(now=True)


async def output_of(manager: AsyncKernelManager, code: str) -> str:
    client = manager.client()
    client.start_channels()
    texts: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            texts.append(message["content"]["text"])

    try:
        await client.wait_for_ready(timeout=30)
        reply = await client.execute_interactive(code, output_hook=hear, timeout=30)
    finally:
        client.stop_channels()
    return "".join(texts) if reply["content"]["status"] == "ok" else reply["content"]["ename"]


def test_it_is_registered() -> None:
    (entry,) = entry_points(group="jupyter_client.kernel_provisioners", name="quorum-forked")
    assert entry.load() is ForkedProvisioner


async def test_a_manager_starts_uses_and_ends_a_kernel(manager: AsyncKernelManager) -> None:
    assert await manager.is_alive()
    pid = int(await output_of(manager, "import os; x = 1; os.getpid()"))
    assert await output_of(manager, "np.arange(3).sum() + x") == "np.int64(4)\n"
    assert await output_of(manager, "1 / 0") == "ZeroDivisionError"
    await manager.shutdown_kernel()
    assert wait_until_gone(pid)
    assert not await manager.is_alive()


async def test_an_interrupt_ends_a_cell(manager: AsyncKernelManager) -> None:
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=30)
        client.execute("print('begin')\nwhile True: pass")
        while (await client.get_iopub_msg(timeout=30))["msg_type"] != "execute_input":
            pass
        # The input is told before it runs, and an interrupt in between comes too early.
        for _ in range(30):
            await manager.interrupt_kernel()
            with suppress(queue.Empty):
                reply = await client.get_shell_msg(timeout=1)
                break
        assert reply["content"]["ename"] == "KeyboardInterrupt"
    finally:
        client.stop_channels()


async def test_a_restart_brings_a_new_kernel(manager: AsyncKernelManager) -> None:
    await output_of(manager, "x = 1")
    await manager.restart_kernel(now=True)
    assert await output_of(manager, "'x' in globals()") == "False\n"


async def test_a_kernel_that_dies_is_seen(manager: AsyncKernelManager) -> None:
    pid = int(await output_of(manager, "import os; os.getpid()"))
    client = manager.client()
    client.start_channels()
    client.execute("os._exit(1)")
    assert await anyio.to_thread.run_sync(wait_until_gone, pid)
    assert manager.provisioner is not None
    assert await manager.provisioner.wait() is not None
    assert not await manager.is_alive()
    client.stop_channels()


def test_a_blocking_manager_works_and_its_process_ends(
    specifications: KernelSpecManager, tmp_path: Path
) -> None:
    program = f"""
        from jupyter_client.kernelspec import KernelSpecManager
        from jupyter_client.manager import KernelManager

        manager = KernelManager(
            kernel_name="quorum",
            kernel_spec_manager=KernelSpecManager(kernel_dirs={specifications.kernel_dirs!r}),
            connection_file={str(tmp_path / "connection.json")!r},
        )
        manager.start_kernel(env={{"MARK": "left"}})
        client = manager.client()
        client.start_channels()
        client.wait_for_ready(timeout=30)
        reply = client.execute_interactive("import os; print(os.getpid())", timeout=30)
        client.stop_channels()
        # Not shut down: the end of the process must do.
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    assert wait_until_gone(int(done.stdout))
    assert processes_mentioning(str(tmp_path)) == []
