"""How errors in cells are shown, over every implementation of the pool."""

import pytest

from sandbox.lease import KernelLease
from sandbox.types import CellStatus
from tests.sandbox.pools import output_of, run


class TestErrors:
    async def test_a_traceback_shows_the_cells_own_lines(self, kernel: KernelLease) -> None:
        code = "import json\ndef parse(text):\n    return json.loads(text)\nparse('{')\n"
        result = await run(kernel, code)
        assert result.status is CellStatus.ERROR
        assert result.error_name == "JSONDecodeError"
        number = result.output.split()[1].rstrip(",")
        assert result.output.startswith(
            f"Cell {number}, line 4\n    parse('{{')\n"
            f"Cell {number}, line 3, in parse\n    return json.loads(text)\n    text = '{{'\n"
            "JSONDecodeError: Expecting property name"
        )
        assert "json/" not in result.output

    async def test_a_syntax_error_shows_its_line_and_a_caret(self, kernel: KernelLease) -> None:
        result = await run(kernel, "x = 1\nfor i in range(3)\n    print(i)")
        assert result.error_name == "SyntaxError"
        lines = result.output.splitlines()
        assert lines[0].endswith("line 2")
        assert lines[1:] == [
            "    for i in range(3)",
            "                     ^",
            "SyntaxError: expected ':'",
        ]

    async def test_an_error_of_indentation_names_its_cell(self, kernel: KernelLease) -> None:
        await run(kernel, "x = 1")
        result = await run(kernel, "def f():\n        x = 1\n    y = 2")
        assert result.output.startswith("Cell 2, line 3\n")
        assert "IndentationError: unindent does not match" in result.output

    async def test_running_out_of_memory_keeps_state_and_output(self, kernel: KernelLease) -> None:
        code = """
            import resource
            _, most = resource.getrlimit(resource.RLIMIT_AS)
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            ballast = bytearray(max(most - used - (256 << 20), 0))
            print("found 3")
            last = None
            while True:
                last = (last,)
        """
        result = await run(kernel, code, timeout=60)
        assert result.status is CellStatus.ERROR
        assert result.output.startswith("found 3\n")
        assert "MemoryError" in result.output
        assert await output_of(kernel, "most > 0") == "True\n"
        # What runs next has the room that the last one had, and its own limit stays.
        same = "resource.getrlimit(resource.RLIMIT_AS)[0] < most"
        assert await output_of(kernel, same) == "True\n"
        await run(kernel, "resource.setrlimit(resource.RLIMIT_AS, (most // 2, most))")
        limit = "resource.getrlimit(resource.RLIMIT_AS)[0] == most // 2"
        assert await output_of(kernel, limit) == "True\n"

    async def test_a_forked_worker_that_exits_says_nothing(self, kernel: KernelLease) -> None:
        code = """
            import os, sys
            child = os.fork()
            if child == 0:
                sys.exit(0)
            os.waitpid(child, 0)[1]
        """
        assert await output_of(kernel, code) == "0\n"

    async def test_a_message_of_a_class_of_its_own_harms_nothing(self, kernel: KernelLease) -> None:
        code = """
            keep = 7
            class Evil(str):
                def __len__(self): raise SystemError
                def __getitem__(self, _): raise SystemError
            class Odd(Exception):
                def __str__(self): return Evil("odd" * 1000)
            raise Odd
        """
        result = await run(kernel, code)
        assert result.status is CellStatus.ERROR
        assert "Odd: oddodd" in result.output
        assert await output_of(kernel, "keep") == "7\n"

    async def test_an_endless_recursion_is_shown_in_a_few_lines(self, kernel: KernelLease) -> None:
        result = await run(kernel, "def f(n):\n    return f(n + 1)\nf(0)")
        assert result.error_name == "RecursionError"
        assert len(result.output.splitlines()) < 10

    async def test_a_deep_recursion_of_a_cached_function_keeps_the_kernel(
        self, kernel: KernelLease
    ) -> None:
        code = """
            import functools, sys
            sys.setrecursionlimit(10**6)
            @functools.cache
            def depth(n): return 0 if n == 0 else 1 + depth(n - 1)
            depth(50_000)
        """
        result = await run(kernel, code)
        # Newer Pythons count C's frames apart and raise.
        assert result.output == "50000\n" or result.error_name == "RecursionError"

    async def test_a_search_that_its_own_alarm_ends_tells_what_it_has_found(
        self, kernel: KernelLease
    ) -> None:
        code = """
            import signal
            def stop(number, frame): raise TimeoutError(f"best so far {best}")
            signal.signal(signal.SIGALRM, stop)
            best = 7
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            for n in range(10**10):
                if n < 0:
                    best = n
        """
        # The alarm comes to the end of the loop, mostly: there Python 3.11 knows no line.
        for _ in range(3):
            result = await run(kernel, code)
            assert result.output.startswith("Cell ")
            assert result.output.endswith("TimeoutError: best so far 7\n")

    async def test_a_search_that_is_interrupted_is_told_with_its_place(
        self, kernel: KernelLease
    ) -> None:
        code = "count = 0\nfor n in range(10**10):\n    if n < 0:\n        count += 1"
        result = await run(kernel, code, timeout=0.5)
        assert result.status is CellStatus.TIMEOUT
        assert result.output.startswith("Cell 1, line ")

    async def test_text_that_looks_like_an_error_is_none(self, kernel: KernelLease) -> None:
        code = "import sys; print(\"NameError: name 'x' is not defined\", file=sys.stderr)"
        result = await run(kernel, code)
        assert result.status is CellStatus.OK
        assert result.error_name is None

    async def test_errors_with_hostile_methods_are_shown(self, kernel: KernelLease) -> None:
        code = """
            class Odd(Exception):
                def __str__(self):
                    raise KeyError("no")
            raise Odd
        """
        result = await run(kernel, code)
        assert result.error_name == "Odd"
        assert "Odd: <no message: __str__ raised KeyError>" in result.output

    async def test_a_repr_that_raises_is_an_error(self, kernel: KernelLease) -> None:
        code = """
            class Odd:
                def __repr__(self):
                    raise KeyError("no")
            Odd()
        """
        result = await run(kernel, code)
        assert result.status is CellStatus.ERROR
        assert result.error_name == "KeyError"

    @pytest.mark.parametrize("code", ["exit()", "quit()", "import sys; sys.exit(3)", "exit"])
    async def test_exit_ends_the_cell_only(self, kernel: KernelLease, code: str) -> None:
        await run(kernel, "x = 5")
        result = await run(kernel, code)
        assert (result.status, result.error_name) == (CellStatus.ERROR, "SystemExit")
        assert not result.state_lost
        assert await output_of(kernel, "x") == "5\n"

    @pytest.mark.parametrize("code", ["input('? ')", "import getpass; getpass.getpass()"])
    async def test_input_is_refused_at_once(self, kernel: KernelLease, code: str) -> None:
        result = await run(kernel, code)
        assert result.status is CellStatus.ERROR
        assert "not available" in result.output

    async def test_a_zero_byte_in_the_source_is_an_error(self, kernel: KernelLease) -> None:
        assert (await run(kernel, "x\x00y")).error_name == "SyntaxError"

    async def test_a_surrogate_in_the_source_harms_nothing(self, kernel: KernelLease) -> None:
        assert await output_of(kernel, "print('\ud800')") == "?\n"
