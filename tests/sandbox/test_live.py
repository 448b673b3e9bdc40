"""Output that is told while a cell runs, and interrupts: over every implementation of the pool."""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.execution import Interruption
from sandbox.kernel import _joined
from sandbox.lease import KernelLease
from sandbox.live import LiveOutput
from sandbox.output import Stripper, clean, settle, strip
from sandbox.pool import KernelPool
from sandbox.types import CellStatus, InterruptStep
from tests.sandbox.pools import IMPLEMENTATIONS, MakePool, lean_settings, run

PIECES = st.lists(
    st.text(alphabet=["\x1b", "[", "]", "3", "m", "\\", "\x07", "\r", "\n", "\x00", "é", " ", "P"])
)


@given(PIECES)
def test_text_in_pieces_is_stripped_like_the_whole(pieces: list[str]) -> None:
    stripper = Stripper()
    told = "".join([*map(stripper.feed, pieces), stripper.finish()])
    assert told == strip("".join(pieces))
    assert settle(told) == clean("".join(pieces))


def test_what_cannot_be_half_a_sequence_does_not_wait() -> None:
    stripper = Stripper()
    assert stripper.feed("a\x1b[31mb\r") == "ab\r"
    assert stripper.feed("c\x1b") == "c"
    assert stripper.feed("[0") == ""
    assert stripper.feed("md") == "d"


@given(st.lists(st.text(max_size=20)), st.integers(0, 3))
def test_a_file_that_grows_is_told_once_and_in_order(parts: list[str], missing: int) -> None:
    told: list[str] = []
    path = Path(f"/proc/self/fd/{os.memfd_create('output')}")
    descriptor = int(path.name)
    try:
        live = LiveOutput(path, 60, told.append)
        live._descriptor = descriptor
        for part in parts:
            data = part.encode("utf-8", "replace")
            for half in (data[: len(data) // 2], data[len(data) // 2 :]):
                os.write(descriptor, half)
                live.look()
        whole = "".join(parts).encode("utf-8", "replace").decode()
        whole = whole[: len(whole) - missing] if len(whole) - missing >= 30 else whole
        assert len("".join(told)) <= 30
        output = _joined(clean(whole), "[stopped]")
        live.finish(whole, output)
        assert settle("".join(told)) == output
    finally:
        live.close()


@pytest.mark.parametrize("kind", ["link", "pipe", "second name", "folder", "nothing"])
def test_a_file_that_is_none_is_not_read(tmp_path: Path, kind: str) -> None:
    secret, path = tmp_path / "secret", tmp_path / "output"
    secret.write_text("secret")
    match kind:
        case "link":
            path.symlink_to(secret)
        case "pipe":
            os.mkfifo(path)
        case "second name":
            path.hardlink_to(secret)
        case "folder":
            path.mkdir()
        case _:
            pass
    told: list[str] = []
    live = LiveOutput(path, 60, told.append)
    live.look()
    assert told == []
    live.finish("whole", "whole")
    assert "".join(told).strip() == "whole"


@pytest.fixture(params=IMPLEMENTATIONS, scope="module")
async def pool(request: pytest.FixtureRequest) -> AsyncIterator[KernelPool]:
    make_pool: MakePool = request.param
    async with make_pool(lean_settings(kernels=1, spares=1, max_output_chars=200)) as pool:
        yield pool


@pytest.fixture
async def kernel(pool: KernelPool) -> AsyncIterator[KernelLease]:
    async with pool.lease(seed=1, owner="live") as lease:
        yield lease


async def told_until(kernel: KernelLease, code: str, mark: str) -> tuple[list[str], str]:
    """Run a cell that goes on for ever; interrupt it when it has told `mark`."""
    told: list[str] = []
    interruption = Interruption()

    def observe(text: str) -> None:
        told.append(text)
        if mark in "".join(told):
            interruption.request()

    result = await kernel.execute(code, 20.0, observe, interruption)
    assert result.status is CellStatus.INTERRUPTED
    assert result.interrupt_step is InterruptStep.SIGINT
    assert not result.state_lost
    return told, result.output


async def test_output_comes_while_the_cell_runs(kernel: KernelLease) -> None:
    code = """if True:
        import subprocess, sys, time
        print("by Python", end="", flush=True)
        subprocess.run(["echo", " and a child"])
        time.sleep(60)
    """
    told, output = await told_until(kernel, code, "and a child\n")
    assert output.startswith("by Python and a child\n")
    assert output.endswith("[interrupted; variables are kept]\n")
    assert settle("".join(told)) == output


async def test_what_is_told_is_the_output_however_the_cell_ends(kernel: KernelLease) -> None:
    for code, status in (
        ("for i in range(100): print(i, end='\\r')", CellStatus.OK),
        ("print('é' * 1000); 1 / 0", CellStatus.ERROR),
        ("print('\\x1b[31mred', end='\\r'); import os; os._exit(3)", CellStatus.DIED),
        ("", CellStatus.OK),
    ):
        told: list[str] = []
        result = await kernel.execute(code, 20.0, told.append)
        assert result.status is status
        assert settle("".join(told)) == result.output


async def test_a_flood_is_bounded_live_too(kernel: KernelLease) -> None:
    told: list[str] = []
    code = (
        "import time\nend = time.monotonic() + 0.5\nwhile time.monotonic() < end: print('x' * 99)"
    )
    result = await kernel.execute(code, 20.0, told.append)
    assert result.truncated
    assert "".join(told) == result.output
    assert len(result.output) < 300


async def test_a_cell_that_forges_its_output_file_misleads_only_itself(kernel: KernelLease) -> None:
    told: list[str] = []
    code = """if True:
        import os, time
        os.unlink("../output") if os.path.exists("../output") else os.unlink("output")
        open("output", "w").write("forged\\n")
        time.sleep(0.3)
        print("true")
    """
    result = await kernel.execute(code, 20.0, told.append)
    assert "".join(told).endswith(result.output)
    assert (await run(kernel, "6 * 7")).output == "42\n"


async def test_an_interrupt_keeps_the_state(kernel: KernelLease) -> None:
    await run(kernel, "kept = 42")
    await told_until(kernel, "print('on', flush=True)\nwhile True: pass", "on")
    result = await run(kernel, "kept")
    assert (result.status, result.output) == (CellStatus.OK, "42\n")


async def test_an_interrupt_before_the_cell_begins(kernel: KernelLease) -> None:
    interruption = Interruption()
    interruption.request()
    begun = time.monotonic()
    result = await kernel.execute("while True: pass", 20.0, interruption=interruption)
    assert result.status is CellStatus.INTERRUPTED
    assert time.monotonic() - begun < 10


async def test_a_cell_that_cannot_be_interrupted_is_killed(kernel: KernelLease) -> None:
    told: list[str] = []
    interruption = Interruption()

    def observe(text: str) -> None:
        told.append(text)
        interruption.request()

    code = "from itertools import count\nprint('on', flush=True)\nsum(count())"
    result = await kernel.execute(code, 20.0, observe, interruption)
    assert (result.status, result.interrupt_step) == (CellStatus.INTERRUPTED, InterruptStep.KILL)
    assert result.state_lost
    assert "are lost" in result.output
    assert settle("".join(told)) == result.output
    assert (await run(kernel, "6 * 7")).output == "42\n"
