"""What is particular to cold-started kernels: their command line, environment and limits."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox.cold import ColdStartFactory
from sandbox.directory import PoolDirectory
from sandbox.errors import SettingsError
from sandbox.kernel import Kernel
from tests.sandbox.pools import lean_settings


@pytest.fixture
async def kernel() -> AsyncIterator[Kernel]:
    settings = lean_settings(memory_limit_bytes=2 << 30)
    async with (
        PoolDirectory(None) as directory,
        ColdStartFactory(settings, directory) as factory,
    ):
        started = await factory.start()
        try:
            yield started
        finally:
            await started.aclose()


def proc(kernel: Kernel, name: str) -> str:
    return Path(f"/proc/{kernel.process.pid}/{name}").read_text(encoding="utf-8")


def socket_inodes(kernel: Kernel) -> set[str]:
    links = (str(path.readlink()) for path in Path(f"/proc/{kernel.process.pid}/fd").iterdir())
    return {link[8:-1] for link in links if link.startswith("socket:[")}


async def test_the_message_key_is_in_the_connection_file_alone(kernel: Kernel) -> None:
    connection = json.loads(kernel.directory.connection_file.read_text(encoding="utf-8"))
    assert len(connection["key"]) == 64
    assert connection["transport"] == "ipc"
    assert kernel.directory.connection_file.stat().st_mode & 0o777 == 0o600
    assert connection["key"] not in proc(kernel, "cmdline") + proc(kernel, "environ")


async def test_its_environment_is_an_allow_list(kernel: Kernel) -> None:
    names = {entry.split("=")[0] for entry in proc(kernel, "environ").split("\0") if entry}
    assert names <= {
        "HOME", "IPYTHONDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "LOGNAME",
        "MALLOC_ARENA_MAX",
        "MKL_NUM_THREADS", "MPLBACKEND", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PATH",
        "PIP_DISABLE_PIP_VERSION_CHECK", "PIP_NO_INDEX", "PIP_NO_INPUT", "PYTHONHASHSEED",
        "PYTHONPATH", "TMPDIR", "TZ",
    }  # fmt: skip


async def test_it_leads_its_own_session_within_limits(kernel: Kernel) -> None:
    pid = kernel.process.pid
    assert os.getsid(pid) == os.getpgid(pid) == pid
    limits = proc(kernel, "limits").splitlines()
    assert f"Max address space {2 << 30} {2 << 30} bytes" in (
        " ".join(line.split()) for line in limits
    )
    assert "Max core file size 0 0 bytes" in (" ".join(line.split()) for line in limits)


async def test_it_opens_no_internet_socket(kernel: Kernel) -> None:
    inodes = socket_inodes(kernel)
    assert inodes, "the ipc sockets at least"
    internet = [
        line
        for table in ("net/tcp", "net/tcp6", "net/udp", "net/udp6")
        for line in proc(kernel, table).splitlines()[1:]
        if line.split()[9] in inodes
    ]
    assert internet == []


async def test_neither_history_nor_debugger_are_there(kernel: Kernel) -> None:
    code = "import sys; print(sys.modules.get('debugpy'), get_ipython().history_manager.enabled)"
    assert (await kernel.execute(code, 20)).output == "None False\n"
    assert not list(kernel.directory.path.rglob("*.sqlite"))


async def test_a_forged_reply_of_another_key_is_ignored(kernel: Kernel) -> None:
    # The code has the session itself, so it can sign; with a key of its own it cannot.
    code = """
import time
session = get_ipython().kernel.session
parent = get_ipython().parent_header
key, session.key = session.key, b"another"
session.send(get_ipython().kernel.iopub_socket, "stream",
             {"name": "stdout", "text": "forged"}, parent=parent)
session.key = key
print("own")
"""
    assert (await kernel.execute(code, 20)).output == "own\n"


@pytest.mark.parametrize(
    "content",
    ["{'name': 'stdout', 'text': 7, 'cut': 'x'}", "{}", "{'text': None, 'cut': -5}"],
)
async def test_odd_messages_of_the_right_key_are_ignored(kernel: Kernel, content: str) -> None:
    code = f"""
import time
shell = get_ipython()
session, socket = shell.kernel.session, shell.kernel.iopub_socket
for kind in ("stream", "status", "unheard_of"):
    session.send(socket, kind, {content}, parent=shell.parent_header)
print("own")
"""
    result = await kernel.execute(code, 20)
    assert (result.output, result.truncated) == ("own\n", False)


async def test_a_directory_too_deep_for_sockets_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 80)
    deep.mkdir()
    with pytest.raises(SettingsError, match="must have at most 107"):
        async with PoolDirectory(deep):
            pytest.fail("its sockets could not be bound")
    assert list(deep.iterdir()) == []


async def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="must be writable"):
        async with PoolDirectory(tmp_path / "missing"):
            pytest.fail("it cannot be made")
