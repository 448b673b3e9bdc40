"""Shell commands of cells, over every implementation of the pool: there is no terminal for them."""

import secrets

import pytest

from sandbox.lease import KernelLease
from sandbox.types import CellStatus
from tests.sandbox.pools import output_of, run
from tests.sandbox.processes import processes_mentioning


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


#: Programs that an interrupt of the kernel's process group does not end; MARK is a time to sleep.
_STUBBORN = {
    "a group of its own": "import subprocess\nsubprocess.run(['timeout', '70', 'sleep', 'MARK'])",
    "in the background": "import os\nos.system('sleep MARK & sleep MARK & wait')",
    "the system's shell": "import os\nos.system('timeout 70 sleep MARK')",
    "deaf": "import subprocess\nsubprocess.check_output(['sh', '-c', 'trap : INT; sleep MARK; :'])",
    "a session of its own": "import subprocess\nsubprocess.run(['setsid', '-w', 'sleep', 'MARK'])",
    "a script": "%%bash\ntimeout 70 sleep MARK",
    "an interrupt that is caught": "import subprocess\n"
    "try: subprocess.run(['timeout', '70', 'sleep', 'MARK'])\nexcept KeyboardInterrupt: pass",
}


@pytest.mark.parametrize("code", _STUBBORN.values(), ids=_STUBBORN)
async def test_what_does_not_heed_an_interrupt_ends_with_its_cell(
    kernel: KernelLease, code: str
) -> None:
    mark, earlier = (f"{number}.{secrets.randbelow(10**9):09}" for number in (71, 72))
    begin = f"import subprocess\nserver = subprocess.Popen(['setsid', 'sleep', '{earlier}'])"
    await output_of(kernel, begin)
    result = await kernel.execute(code.replace("MARK", mark), 1.0)
    assert (result.status, result.state_lost) == (CellStatus.TIMEOUT, False)
    assert "no message" not in result.output
    assert processes_mentioning(f"sleep\0{mark}") == []
    # What an earlier cell has left goes on.
    assert len(processes_mentioning(f"sleep\0{earlier}")) == 1


@pytest.mark.parametrize(
    ("command", "status"), [("exit 3", 3 << 8), ("kill -9 $$", 9), ("echo shown", 0)]
)
async def test_the_system_s_shell_runs_commands(
    kernel: KernelLease, command: str, status: int
) -> None:
    shown = await output_of(kernel, f"import os\nos.system({command!r})")
    assert shown.endswith(f"{status}\n")
    assert shown.startswith("shown" if "echo" in command else str(status))


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


_CLOSED_FOLDERS = """
import os, sys
def is_closed(entry):
    try: os.scandir(entry or ".").close()
    except PermissionError: return True
    except OSError: return False
print([entry for entry in sys.path if is_closed(entry)])
"""


@pytest.mark.parametrize("command", ["!pip list", "!pip show pip", "%pip install sympy"])
async def test_pip_looks_at_what_is_installed(kernel: KernelLease, command: str) -> None:
    result = await run(kernel, command, timeout=60)
    assert "PermissionError" not in result.output
    assert "Traceback" not in result.output
    assert "ersion" in result.output or "already satisfied" in result.output


async def test_the_import_path_has_no_folder_that_is_closed(kernel: KernelLease) -> None:
    assert await output_of(kernel, _CLOSED_FOLDERS) == "[]\n"
    await output_of(kernel, f"with open('closed.py', 'w') as file: file.write({_CLOSED_FOLDERS!r})")
    assert await output_of(kernel, "!python closed.py") == "[]\n"


async def test_a_cell_s_own_customization_of_python_runs(kernel: KernelLease) -> None:
    code = """
        import os, pathlib
        pathlib.Path("own").mkdir()
        pathlib.Path("own/sitecustomize.py").write_text("print('customized')")
        os.environ["PYTHONPATH"] += os.pathsep + "own"
        !python -c "import sitecustomize; print(sitecustomize.__file__)"
        pathlib.Path("own/sitecustomize.py").unlink()
        !python -c "import sys, sitecustomize; print(len([p for p in sys.path if 'programs' in p]))"
    """
    shown = (await output_of(kernel, code)).splitlines()
    assert shown[0] == "customized"
    assert shown[1].endswith("own/sitecustomize.py")
    assert shown[2:] == ["0"]


_MANY_THREADS = """
import threading
go = threading.Event()
threads = [threading.Thread(target=go.wait) for _ in range(100)]
for thread in threads: thread.start()
go.set()
print(len(threads))
"""


async def test_programs_with_smaller_stacks_have_as_many_threads_as_cells(
    kernel: KernelLease,
) -> None:
    """As docs/reference/kernels.md says."""
    await output_of(kernel, f"with open('many.py', 'w') as file: file.write({_MANY_THREADS!r})")
    assert await output_of(kernel, "!ulimit -s 8192; python many.py") == "100\n"


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
