"""Cells with coroutines, over every implementation of the pool."""

import pytest

from sandbox.lease import KernelLease
from sandbox.types import CellStatus
from tests.sandbox.pools import output_of, run

SEVEN = "import asyncio\nasync def seven():\n    await asyncio.sleep(0)\n    return 7\n"

STUBBORN = """
async def stubborn():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass
"""


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("await seven()", "7\n"),
        ("print(1)\nx = await seven()\nx + 1", "1\n8\n"),
        ("await asyncio.gather(seven(), seven())", "[7, 7]\n"),
        ("asyncio.run(seven())", "7\n"),
        ("asyncio.get_event_loop().run_until_complete(seven())", "7\n"),
        ("async def two():\n    yield 1\n    yield 2\n[n async for n in two()]", "[1, 2]\n"),
        ("await asyncio.to_thread(lambda: 9)", "9\n"),
        ("'await'", "'await'\n"),
    ],
)
async def test_coroutines_run_in_every_usual_way(
    kernel: KernelLease, code: str, shown: str
) -> None:
    assert await output_of(kernel, SEVEN + code) == shown


async def test_tasks_go_on_in_later_cells(kernel: KernelLease) -> None:
    await output_of(kernel, SEVEN + "task = asyncio.get_event_loop().create_task(seven())")
    assert await output_of(kernel, "1 + 1") == "2\n"
    assert await output_of(kernel, "await task") == "7\n"


async def test_a_task_is_made_in_a_cell_that_does_not_await(kernel: KernelLease) -> None:
    await output_of(kernel, SEVEN + "task = asyncio.create_task(seven())")
    assert await output_of(kernel, "asyncio.get_running_loop() is task.get_loop()") == "True\n"
    assert await output_of(kernel, "await task") == "7\n"


async def test_a_cell_that_runs_a_loop_makes_tasks_in_it(kernel: KernelLease) -> None:
    code = "async def main():\n    return await asyncio.create_task(seven())\nasyncio.run(main())"
    assert await output_of(kernel, SEVEN + code) == "7\n"


@pytest.mark.parametrize(
    "endless",
    [
        "await asyncio.sleep(60)",
        "while True:\n    await asyncio.sleep(0)",
        "asyncio.run(asyncio.sleep(60))",
        f"{STUBBORN}\nawait stubborn()",
    ],
)
async def test_an_interrupt_ends_what_is_awaited_and_keeps_the_state(
    kernel: KernelLease, endless: str
) -> None:
    result = await run(kernel, f"import asyncio\nx = 3\n{endless}", timeout=0.5)
    assert result.status is CellStatus.TIMEOUT
    assert not result.state_lost
    assert await output_of(kernel, f"{SEVEN}x, await seven()") == "(3, 7)\n"


async def test_what_does_not_heed_its_end_does_not_go_on_later(kernel: KernelLease) -> None:
    code = f"import asyncio\nn = 0{STUBBORN.replace('pass', 'global n; n += 1')}\nawait stubborn()"
    assert (await run(kernel, code, timeout=0.5)).status is CellStatus.TIMEOUT
    before = await output_of(kernel, "n")
    assert await output_of(kernel, "await asyncio.sleep(0.2)\nn") == before


async def test_threads_of_a_cell_print_into_it_in_each_cell(kernel: KernelLease) -> None:
    await output_of(kernel, "import asyncio")
    for number in range(3):
        shown = await output_of(kernel, f"await asyncio.to_thread(print, {number})")
        assert shown == f"{number}\n"


async def test_an_error_is_shown_where_it_was_raised(kernel: KernelLease) -> None:
    result = await run(kernel, "async def bad():\n    1 / 0\nawait bad()")
    assert result.error_name == "ZeroDivisionError"
    assert "Cell 1, line 2, in bad" in result.output


async def test_a_cell_can_harm_its_own_loop_alone(kernel: KernelLease) -> None:
    await output_of(kernel, "import asyncio\nasyncio.get_event_loop().close()")
    assert await output_of(kernel, SEVEN + "await seven()") == "7\n"


async def test_c_code_writes_in_order(kernel: KernelLease) -> None:
    code = """
        import ctypes
        c = ctypes.CDLL(None)
        print("one")
        c.printf(b"two"); c.puts(b"")
        print("three")
    """
    assert await output_of(kernel, code) == "one\ntwo\nthree\n"


async def test_built_in_names_are_reached_as_in_any_program(kernel: KernelLease) -> None:
    assert await output_of(kernel, "sum = 3\n__builtins__.sum([1, 2])") == "3\n"
