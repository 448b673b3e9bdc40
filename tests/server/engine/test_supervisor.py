"""The life of an engine process, with a real process that behaves as told."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path

import anyio
import psutil
import pytest
from structlog.testing import capture_logs

from server.engine import lifecycle
from server.engine import supervisor as supervisor_module
from server.engine.base import EngineState
from server.engine.child_address import read_address
from server.engine.errors import EngineFailed, EngineProtocolError
from server.engine.supervisor import Child, Supervisor

SCRIPT = Path(__file__).with_name("fake_child.py")
PATIENCE_S = 20


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make restarts quick; the numbers are not what is tested, unless a test sets them."""
    monkeypatch.setattr(supervisor_module, "BACK_OFF_FIRST_S", 0.01)
    monkeypatch.setattr(supervisor_module, "BACK_OFF_MOST_S", 0.05)
    monkeypatch.setattr(lifecycle, "DEATH_SEEN_S", 0.2)


@pytest.fixture
def births(tmp_path: Path) -> Path:
    """Return the file to which each started process adds its id and the time."""
    return tmp_path / "births"


async def prepare(child: Child, stack: AsyncExitStack) -> None:
    del stack
    await read_address(child)


def supervise(
    *behaviours: str,
    births: Path,
    start_timeout_s: float = PATIENCE_S,
    max_restarts: int = 3,
) -> Supervisor:
    """Return a supervisor of processes with these behaviours, one a life; the last one lasts."""
    to_come = list(behaviours)

    def launch() -> tuple[list[str], bytes]:
        behaviour = to_come.pop(0) if len(to_come) > 1 else to_come[0]
        return [sys.executable, "-S", str(SCRIPT), behaviour, str(births)], b"{}\n"

    return Supervisor(
        "fake", launch, prepare, start_timeout_s=start_timeout_s, max_restarts=max_restarts
    )


@asynccontextmanager
async def running(supervised: Supervisor) -> AsyncIterator[Supervisor]:
    with anyio.fail_after(PATIENCE_S):
        async with supervised.running():
            yield supervised


async def failure(supervised: Supervisor) -> str:
    """Return the sentence with which it gives up."""
    with pytest.raises(EngineFailed) as caught:
        await supervised.wait_ready()
    assert supervised.status().state is EngineState.FAILED
    assert supervised.status().detail == str(caught.value)
    return str(caught.value)


async def ready_child(supervised: Supervisor) -> Child:
    await supervised.wait_ready()
    assert supervised.child is not None
    return supervised.child


def lives(births: Path) -> list[tuple[int, float]]:
    """Return process id and time of birth of each life so far."""
    lines = births.read_text().splitlines() if births.exists() else []
    return [(int(pid), float(born)) for pid, born in map(str.split, lines)]


def pids(births: Path) -> list[int]:
    return [pid for pid, _ in lives(births)]


def assert_nothing_left(births: Path) -> None:
    left = [pid for pid in pids(births) if psutil.pid_exists(pid)]
    assert left == []


async def test_a_process_is_started_served_and_ended(births: Path) -> None:
    supervised = supervise("serve", births=births)
    assert supervised.status().state is EngineState.STARTING
    async with running(supervised):
        child = await ready_child(supervised)
        assert psutil.pid_exists(child.process.pid)
        assert supervised.status().state is EngineState.READY
        assert supervised.status().restarts == 0
    assert supervised.status().state is EngineState.STOPPED
    assert supervised.child is None
    assert_nothing_left(births)
    with pytest.raises(EngineFailed, match="stopped"):
        await supervised.wait_ready()


async def test_what_the_caller_raises_comes_out_as_it_is(births: Path) -> None:
    async def break_off() -> None:
        async with running(supervise("serve", births=births)) as supervised:
            await ready_child(supervised)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await break_off()
    assert_nothing_left(births)


async def test_a_defect_of_the_preparation_comes_out_as_it_is(births: Path) -> None:
    async def broken(child: Child, stack: AsyncExitStack) -> None:
        del child, stack
        raise ZeroDivisionError("a defect")

    supervised = supervise("serve", births=births)
    supervised._prepare = broken
    with pytest.raises(ZeroDivisionError, match="a defect"):
        async with running(supervised):
            await anyio.sleep_forever()
    assert supervised.status().state is EngineState.STOPPED


async def test_two_failures_at_once_are_both_told(births: Path) -> None:
    failing = anyio.Event()

    async def broken(child: Child, stack: AsyncExitStack) -> None:
        del child, stack
        failing.set()
        raise ZeroDivisionError("a defect")

    supervised = supervise("serve", births=births)
    supervised._prepare = broken

    async def fail_too() -> None:
        async with running(supervised):
            await failing.wait()
            raise LookupError("another")

    with pytest.raises(ExceptionGroup) as caught:
        await fail_too()
    assert caught.group_contains(ZeroDivisionError)
    assert caught.group_contains(LookupError)


async def test_a_killed_process_is_seen_at_once_and_replaced(births: Path) -> None:
    async with running(supervise("serve", births=births)) as supervised:
        child = await ready_child(supervised)
        os.kill(child.process.pid, signal.SIGKILL)
        killed = time.monotonic()
        await supervised.confirm_death()
        assert time.monotonic() - killed < 0.2
        assert supervised.status().state is EngineState.RESTARTING
        assert "SIGKILL" in supervised.status().detail
        successor = await ready_child(supervised)
        assert successor.process.pid != child.process.pid
        assert supervised.status().restarts == 1
    assert_nothing_left(births)


async def test_an_unhurt_process_is_not_taken_for_dead(births: Path) -> None:
    async with running(supervise("serve", births=births)) as supervised:
        await ready_child(supervised)
        await supervised.confirm_death()
        assert supervised.status().state is EngineState.READY


async def test_one_that_dies_before_it_is_ready_fails_with_its_last_words(births: Path) -> None:
    async with running(supervise("die_at_once", births=births)) as supervised:
        sentence = await failure(supervised)
    assert "exit status 3" in sentence
    assert "the tensors are damaged | loading failed" in sentence
    # A damaged file stays damaged: it is not tried as often as an engine that has worked.
    assert len(pids(births)) == supervisor_module.FIRST_STARTS


@pytest.mark.parametrize("needed", [True, False])
async def test_giving_up_is_logged(births: Path, *, needed: bool) -> None:
    supervised = supervise("die_at_once", births=births)
    supervised.needed = needed
    with capture_logs() as logs:
        async with running(supervised):
            sentence = await failure(supervised)
    (told,) = [entry for entry in logs if entry["event"] == "engine.failed"]
    assert (told["reason"], told["log_level"]) == (sentence, "error" if needed else "info")


async def test_one_that_is_never_ready_is_given_up(births: Path) -> None:
    supervised = supervise("never_ready", births=births, start_timeout_s=0.3)
    async with running(supervised):
        sentence = await failure(supervised)
        assert_nothing_left(births)
    assert "not ready within 0.3 s" in sentence
    assert "engine.start_timeout_s" in sentence


async def test_a_slow_start_is_no_health(births: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "HEALTHY_AFTER_S", 0.1)
    supervised = supervise("never_ready", births=births, start_timeout_s=0.3)
    async with running(supervised):
        await failure(supervised)
    assert len(pids(births)) == supervisor_module.FIRST_STARTS


async def test_a_process_that_talks_nonsense_is_given_up(births: Path) -> None:
    async with running(supervise("write_garbage", births=births)) as supervised:
        sentence = await failure(supervised)
    assert "llama.cpp says hello" in sentence
    assert_nothing_left(births)


async def test_a_program_that_does_not_exist_is_given_up(tmp_path: Path) -> None:
    program = str(tmp_path / "no-such-program")
    supervised = Supervisor(
        "fake", lambda: ([program], b""), prepare, start_timeout_s=1, max_restarts=0
    )
    async with running(supervised):
        assert "no-such-program" in await failure(supervised)


async def test_one_that_has_worked_is_restarted_max_restarts_times(births: Path) -> None:
    supervised = supervise("die_when_ready", births=births, max_restarts=4)
    async with running(supervised):
        with anyio.fail_after(PATIENCE_S):
            while supervised.status().state is not EngineState.FAILED:
                await supervised._changed.wait()
    assert len(pids(births)) == 5
    assert supervised.status().restarts == 4
    assert_nothing_left(births)


async def test_health_makes_earlier_deaths_count_no_more(
    births: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "HEALTHY_AFTER_S", 0)
    deaths = ["die_when_ready"] * 4
    async with running(supervise(*deaths, "serve", births=births, max_restarts=1)) as supervised:
        with anyio.fail_after(PATIENCE_S):
            while supervised.status().restarts < 4:
                await supervised._changed.wait()
        await ready_child(supervised)


async def test_the_back_off_doubles_up_to_its_bound(
    births: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "BACK_OFF_FIRST_S", 0.1)
    monkeypatch.setattr(supervisor_module, "BACK_OFF_MOST_S", 0.3)
    supervised = supervise("die_when_ready", births=births, max_restarts=4)
    async with running(supervised):
        while supervised.status().state is not EngineState.FAILED:
            await supervised._changed.wait()
    gaps = [later - earlier for (_, earlier), (_, later) in pairwise(lives(births))]
    for gap, wanted in zip(gaps, [0.1, 0.2, 0.3, 0.3], strict=True):
        assert gap >= wanted


async def test_all_who_wait_are_told_when_it_gives_up(births: Path) -> None:
    sentences: list[str] = []

    async def wait(supervised: Supervisor) -> None:
        sentences.append(await failure(supervised))

    async with (
        running(supervise("die_at_once", births=births)) as supervised,
        anyio.create_task_group() as group,
    ):
        for _ in range(8):
            group.start_soon(wait, supervised)
    assert len(sentences) == 8


async def test_one_that_ignores_the_request_to_end_is_killed(
    births: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "TERMINATE_S", 0.2)
    async with running(supervise("ignore_terminate", births=births)) as supervised:
        await ready_child(supervised)
        leaving = time.monotonic()
    assert time.monotonic() - leaving < 2
    assert_nothing_left(births)


async def test_leaving_while_it_starts_leaves_nothing_behind(births: Path) -> None:
    async with running(supervise("never_ready", births=births)):
        with anyio.fail_after(PATIENCE_S):
            while not pids(births):
                await anyio.lowlevel.checkpoint()
    assert_nothing_left(births)


async def test_a_process_that_writes_much_is_not_blocked(births: Path) -> None:
    async with running(supervise("flood", births=births)) as supervised:
        child = await ready_child(supervised)
        assert all(len(line) <= 500 for line in child.tail)


async def test_a_request_that_fails_while_it_starts_is_a_failed_start(births: Path) -> None:
    async def refuse(child: Child, stack: AsyncExitStack) -> None:
        await prepare(child, stack)
        raise EngineProtocolError("the first answer was nonsense")

    supervised = supervise("serve", births=births)
    supervised._prepare = refuse
    async with running(supervised):
        assert "the first answer was nonsense" in await failure(supervised)
    assert_nothing_left(births)


PARENT = f"""
import sys, anyio
from server.engine.supervisor import open_child

async def main():
    command = [sys.executable, "-S", {str(SCRIPT)!r}, "serve", sys.argv[1]]
    async with open_child(command, b"{{}}\\n") as child:
        await child.process.stdout.receive()
        print("ready", flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


def test_a_child_dies_with_a_parent_that_is_killed(births: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(births)], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        (child,) = pids(births)
        parent.kill()
    _, alive = psutil.wait_procs(
        [psutil.Process(child)] if psutil.pid_exists(child) else [], timeout=5
    )
    assert alive == []
