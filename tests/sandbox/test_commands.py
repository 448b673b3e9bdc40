"""Shell commands of cells, over every implementation of the pool: there is no terminal for them."""

import pytest

from sandbox.lease import KernelLease
from sandbox.types import CellStatus
from tests.sandbox.pools import output_of, run


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("!echo one; echo two >&2", "one\ntwo\n"),
        ("n = 5\n!echo {n * 2} $n", "10 5\n"),
        ("def f(k):\n    !echo {k}\nf(7)", "7\n"),
        ("lines = !printf 'a\\nb'\nlines", "['a', 'b']\n"),
        ("!exit 3\n_exit_code", "3\n"),
        ("!kill -TERM $$\n_exit_code", "-15\n"),
        ("!exec 2>/dev/null; sh -c 'kill -9 $$'\n_exit_code", "-9\n"),
        ("!printf '\\303\\251\\377\\303'", "é\ufffd\ufffd"),
        ("!cat", ""),
        ("print('before')\n!echo in\nprint('after')", "before\nin\nafter\n"),
        (
            "!python -c 'import sympy, sys; print(sympy.S(1) / 2, sys.stdout.isatty())'",
            "1/2 False\n",
        ),
    ],
)
async def test_what_a_command_prints_is_shown(kernel: KernelLease, code: str, shown: str) -> None:
    assert await output_of(kernel, code) == shown


async def test_a_cell_may_catch_what_a_command_prints(kernel: KernelLease) -> None:
    code = """
        import contextlib, io
        with contextlib.redirect_stdout(io.StringIO()) as caught:
            !echo caught
        caught.getvalue()
    """
    assert await output_of(kernel, code) == "'caught\\n'\n"


async def test_an_interrupted_command_ends_with_what_it_started(kernel: KernelLease) -> None:
    begun = await run(kernel, "x = 1\n!sleep 71 & sleep 72", timeout=1.0)
    assert begun.status is CellStatus.TIMEOUT
    assert not begun.state_lost
    assert await output_of(kernel, "!pgrep -x sleep; true\nx") == "1\n"


async def test_a_command_that_says_nothing_more_ends_too(kernel: KernelLease) -> None:
    begun = await run(kernel, "!exec >/dev/null 2>&1; sleep 73", timeout=1.0)
    assert begun.status is CellStatus.TIMEOUT
    assert await output_of(kernel, "!pgrep -x sleep; true") == ""


async def test_scripts_print_in_every_cell(kernel: KernelLease) -> None:
    for number in range(3):
        assert await output_of(kernel, f"%%bash\necho {number}") == f"{number}\n"


async def test_commands_in_the_background_are_refused(kernel: KernelLease) -> None:
    result = await run(kernel, "!sleep 70 &")
    assert result.error_name == "OSError"
    assert "leave the & out" in result.output


@pytest.mark.parametrize("command", ["!pip", "%pip"])
async def test_pip_says_at_once_that_there_is_nothing(kernel: KernelLease, command: str) -> None:
    result = await run(kernel, f"{command} install no-such-package-of-ours", timeout=30)
    assert "ERROR: Could not" in result.output
    # It does not try, again and again, a network that is not there.
    assert "Retrying" not in result.output


async def test_a_magic_used_wrongly_says_so_in_a_line(kernel: KernelLease) -> None:
    result = await run(kernel, "%no_such_magic 1")
    assert result.output == "UsageError: Line magic function `%no_such_magic` not found.\n"


@pytest.mark.parametrize("code", ["len?", "?len", "%pinfo len"])
async def test_help_is_printed_as_there_is_no_pager(kernel: KernelLease, code: str) -> None:
    assert "Return the number of items in a container." in await output_of(kernel, code)


async def test_the_last_error_is_shown_again(kernel: KernelLease) -> None:
    assert await output_of(kernel, "%tb") == "No traceback available to show.\n"
    failed = await run(kernel, "1 / 0")
    assert await output_of(kernel, "%tb") == failed.output
