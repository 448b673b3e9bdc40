import inspect
import os
import subprocess
import sys
from typing import IO

import anyio
import anyio.to_thread
import pytest

from sandbox.process import ChildProcess, wait_readable
from tests.sandbox.processes import open_descriptors, wait_until_gone

SLEEP = "import time; time.sleep(60)"


def spawn(code: str) -> ChildProcess:
    command = [sys.executable, "-c", code]
    return ChildProcess(
        subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    )


def spawn_talking(code: str) -> tuple[ChildProcess, IO[bytes]]:
    command = [sys.executable, "-c", code]
    popen = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    assert popen.stdout is not None
    return ChildProcess(popen), popen.stdout


@pytest.fixture(params=["pidfd", "thread"], autouse=True)
def mechanism(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "thread":
        monkeypatch.delattr(os, "pidfd_open")
    name: str = request.param
    return name


async def test_the_exit_descriptor_tells_the_end() -> None:
    process = spawn("raise SystemExit(3)")
    with anyio.fail_after(10):
        await wait_readable([process.exit_descriptor])
    assert process.has_exited()
    assert await process.exit_cause() == "exit code 3"
    await process.aclose()


async def test_a_running_process_has_not_exited() -> None:
    process = spawn(SLEEP)
    assert not process.has_exited()
    assert await process.exit_cause() == "running"
    with anyio.move_on_after(0.05) as scope:
        await wait_readable([process.exit_descriptor])
    assert scope.cancelled_caught
    await process.aclose()
    assert await process.exit_cause() == "signal 9"


async def test_an_interrupt_arrives() -> None:
    # Not while Python starts: there are places where it passes over an interrupt.
    process, output = spawn_talking(f"print(flush=True); {SLEEP}")
    with output, anyio.fail_after(10):
        await anyio.to_thread.run_sync(output.readline)
        process.interrupt()
        await wait_readable([process.exit_descriptor])
    assert await process.exit_cause() in {"signal 2", "exit code 1"}
    await process.aclose()


async def test_closing_is_shielded_and_leaves_no_descriptor() -> None:
    before = open_descriptors()
    process = spawn(SLEEP)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await process.aclose()
    assert process.has_exited()
    await process.aclose()
    assert open_descriptors() == before
    with pytest.raises(ValueError, match="process closed"):
        _ = process.exit_descriptor


async def test_a_killed_process_takes_no_more_signals() -> None:
    process = spawn(SLEEP)
    await process.aclose()
    process.interrupt()
    process.kill()
    assert await process.exit_cause() == "signal 9"


async def test_descendants_die_with_it() -> None:
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(['setsid', 'sleep', '60'])\n"
        "print(child.pid, flush=True)\n"
        f"{SLEEP}\n"
    )
    process, stdout = spawn_talking(code)
    with stdout:
        child = int(await anyio.to_thread.run_sync(stdout.readline))
    await process.aclose()
    assert wait_until_gone(child)


#: Children that end as soon as they are there, many at a time.
CHURN = """
import os, signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range(4):
    os.fork()
print(flush=True)
while True:
    try:
        if os.fork() == 0: os._exit(0)
    except OSError: pass
"""


async def test_descendants_that_end_while_they_are_looked_for_hold_nothing_up() -> None:
    for _ in range(20):
        process, stdout = spawn_talking(CHURN)
        with stdout:
            await anyio.to_thread.run_sync(stdout.readline)
        process.kill()
        with anyio.fail_after(20):
            await process.aclose()
        assert process.has_exited()


async def test_a_chain_of_descendants_dies_whatever_its_length() -> None:
    length = 80
    code = (
        "import os, time\n"
        f"for _ in range({length}):\n"
        "    if os.fork():\n"
        "        break\n"
        "else:\n"
        "    print(os.getpid(), flush=True)\n"
        f"{SLEEP}\n"
    )
    process, stdout = spawn_talking(code)
    with stdout:
        last = int(await anyio.to_thread.run_sync(stdout.readline))
    # A cell could fork more processes than Python allows calls; here it allows fewer.
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + length)
    try:
        process.kill()
    finally:
        sys.setrecursionlimit(limit)
    await process.aclose()
    assert wait_until_gone(last)
