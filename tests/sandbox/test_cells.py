"""What a cell shows, its errors and its state, over every implementation of the pool."""

import pytest

from sandbox.lease import KernelLease
from sandbox.pool import KernelPool
from sandbox.types import CellStatus
from tests.sandbox.pools import output_of, run
from tests.sandbox.processes import wait_until_gone


class TestOutput:
    async def test_prints_and_the_last_expression_come_in_order(self, kernel: KernelLease) -> None:
        code = """
            import os, sys
            print("first")
            os.system("echo second")
            print("third", file=sys.stderr)
            sys.stdout.buffer.write(b"fourth\\n")
            display("fifth")
            6
        """
        expected = "first\nsecond\nthird\nfourth\n'fifth'\n6\n"
        assert await output_of(kernel, code) == expected

    @pytest.mark.parametrize(
        ("code", "expected"),
        [
            ("import sys\nsys.stdout.write(str(42))", "42\n2\n"),
            ("print(3, end='')\n5", "3\n5\n"),
            ("print('x', end='')\ndisplay(5)\nprint('y', end='')\ndisplay(6)", "x\n5\ny\n6\n"),
            ("import os\nos.system('printf a');\n1", "a\n1\n"),
            ("print(end='')\n5", "5\n"),
            ("print('a' * 5_000, end='')\n5", None),
            ("print('x =', end='')\n1/0", None),
        ],
    )
    async def test_what_is_shown_has_lines_of_its_own(
        self, kernel: KernelLease, code: str, expected: str | None
    ) -> None:
        output = (await run(kernel, code)).output
        if expected is None:
            assert output.endswith("a\n5\n") or output.startswith("x =\nCell 1, line 2\n")
        else:
            assert output == expected

    @pytest.mark.parametrize("kind", ["Markdown", "Math", "HTML", "Latex"])
    async def test_texts_are_shown_unrendered(self, kernel: KernelLease, kind: str) -> None:
        code = f"from IPython.display import {kind}\ndisplay({kind}('x = **42**'))\n{kind}('y')"
        assert await output_of(kernel, code) == "x = **42**\ny\n"

    @pytest.mark.parametrize("code", ["x = 1", "1;", "None", "", "# nothing"])
    async def test_no_last_expression_shows_nothing(self, kernel: KernelLease, code: str) -> None:
        assert await output_of(kernel, code) == ""

    async def test_values_are_shown_as_ipython_shows_them(self, kernel: KernelLease) -> None:
        assert await output_of(kernel, "{3, 1, 2}") == "{1, 2, 3}\n"
        rows = await output_of(kernel, "[(i, 10**20) for i in range(2000)]")
        assert rows.startswith(f"[(0, {10**20}),\n (1, ")
        assert rows.endswith(" ...]\n")

    @pytest.mark.parametrize(
        "code",
        [
            "print('a' * 3_000_000)",
            "for _ in range(200_000): print('a' * 10)",
            "'a' * 3_000_000",
            "display('a' * 3_000_000)",
            "import os; os.system('head -c 3000000 /dev/zero | tr \"\\\\0\" a')",
            "raise ValueError('a' * 3_000_000)",
        ],
    )
    async def test_output_is_bounded(self, kernel: KernelLease, code: str) -> None:
        result = await run(kernel, code)
        assert len(result.output) < 2_100
        assert "characters cut" in result.output
        assert "aaaa" in result.output

    async def test_head_and_tail_are_kept_and_the_cut_is_counted(self, kernel: KernelLease) -> None:
        result = await run(kernel, "print('<' + '.' * 4_998 + '>')")
        assert result.truncated
        assert result.output.startswith("<...")
        assert result.output.endswith("...>\n")
        assert "[... 3,001 characters cut ...]" in result.output

    async def test_an_error_after_a_flood_is_seen(self, kernel: KernelLease) -> None:
        result = await run(kernel, "print('a' * 100_000)\n1 / 0")
        assert result.error_name == "ZeroDivisionError"
        assert result.output.endswith("ZeroDivisionError: division by zero\n")

    async def test_a_cell_may_wrap_its_stream(self, kernel: KernelLease) -> None:
        code = """
            import io, sys
            sys.stdout = io.TextIOWrapper(sys.stdout.detach(), line_buffering=True)
            print("wrapped")
            "shown"
        """
        assert await output_of(kernel, code) == "wrapped\n'shown'\n"
        assert await output_of(kernel, "print('restored')") == "restored\n"

    async def test_streams_have_names(self, kernel: KernelLease) -> None:
        code = "import sys; sys.stdout.name, sys.stderr.name"
        assert await output_of(kernel, code) == "('<stdout>', '<stderr>')\n"

    async def test_short_output_is_not_marked_as_cut(self, kernel: KernelLease) -> None:
        assert not (await run(kernel, "print('a' * 1_999)")).truncated

    async def test_forged_output_messages_harm_nothing(self, kernel: KernelLease) -> None:
        code = """
            kernel = get_ipython().kernel
            for cut in [10**4299] * 20 + [-1, None, "1", 1e300]:
                content = {"name": "stdout", "text": "forged", "cut": cut}
                kernel.send_response(kernel.iopub_socket, "stream", content)
        """
        result = await run(kernel, code)
        assert result.truncated
        assert len(result.output) < 3_000
        assert await output_of(kernel, "1 + 1") == "2\n"

    async def test_hostile_text_comes_through_as_plain_text(self, kernel: KernelLease) -> None:
        code = r"""
            import sys
            print("\udc80|\x1b[31mred\x1b[0m|\x00\x07|é😀")
            sys.stdout.buffer.write(b"\xff\n")
            for i in range(3):
                print(i, end="\r")
        """
        assert await output_of(kernel, code) == "\\udc80|red||é😀\n\ufffd\n2"

    async def test_integers_of_any_length_print(self, kernel: KernelLease) -> None:
        assert await output_of(kernel, "len(str(3**20_000))") == "9543\n"

    async def test_a_closed_stdout_is_open_in_the_next_cell(self, kernel: KernelLease) -> None:
        await run(kernel, "import os, sys; sys.stdout.close(); os.close(1)")
        assert await output_of(kernel, "print(1); import os; os.system('echo 2'); 3") == "1\n2\n3\n"

    @pytest.mark.parametrize("stream", ["object()", "open('file', 'w')", "io.StringIO()", "None"])
    async def test_a_replaced_stdout_lasts_for_its_cell(
        self, kernel: KernelLease, stream: str
    ) -> None:
        assert await output_of(kernel, f"import io, sys; sys.stdout = {stream}; 1") == "1\n"
        assert await output_of(kernel, "print(2)") == "2\n"

    async def test_late_output_of_a_thread_is_dropped(self, kernel: KernelLease) -> None:
        code = """
            import threading
            spoken, gate, done = (threading.Event() for _ in range(3))
            def speak():
                print("in time")
                spoken.set()
                gate.wait()
                print("late")
                done.set()
            thread = threading.Thread(target=speak)
            thread.start()
            _ = spoken.wait()
        """
        assert await output_of(kernel, code) == "in time\n"
        assert await output_of(kernel, "gate.set(); done.wait(); print('next')") == "next\n"

    @pytest.mark.parametrize(
        "begun",
        [
            "threading.Thread(target=print, args=('said',))",
            "threading.Timer(0, print, ['said'])",
            "threading.Thread(target=wait_for, args=(threading.Timer(0, print, ['said']),))",
            "multiprocessing.get_context('fork').Process(target=print, args=('said',))",
        ],
        ids=["thread", "timer", "timer of a thread", "fork"],
    )
    async def test_late_output_of_what_a_thread_has_begun_is_dropped(
        self, kernel: KernelLease, begun: str
    ) -> None:
        code = f"""
            import multiprocessing, threading
            spoken, gate, done = (threading.Event() for _ in range(3))
            def wait_for(begun):
                begun.start()
                begun.join()
            def speak():
                wait_for({begun})
                spoken.set()
                gate.wait()
                wait_for({begun})
                done.set()
            threading.Thread(target=speak).start()
            _ = spoken.wait()
        """
        assert await output_of(kernel, code) == "said\n"
        code = f"gate.set(); done.wait(); print('next'); wait_for({begun})"
        assert await output_of(kernel, code) == "next\nsaid\n"

    async def test_late_output_of_a_child_is_dropped(self, kernel: KernelLease) -> None:
        code = """
            import subprocess
            child = subprocess.Popen("echo ready; read line; echo late", shell=True,
                                     stdin=subprocess.PIPE)
        """
        await run(kernel, code)
        code = "child.communicate(b'go\\n'); print('next')"
        assert await output_of(kernel, code) == "next\n"

    async def test_forked_workers_print_into_the_cell(self, kernel: KernelLease) -> None:
        code = """
            import multiprocessing
            def square(n):
                print("square", n)
                return n * n
            with multiprocessing.get_context("fork").Pool(1) as workers:
                print(workers.map(square, [2, 3]))
        """
        assert await output_of(kernel, code) == "square 2\nsquare 3\n[4, 9]\n"

    async def test_forked_workers_of_an_interrupted_cell_end_in_silence(
        self, kernel: KernelLease
    ) -> None:
        code = """
            import multiprocessing, time
            context = multiprocessing.get_context("fork")
            workers = [context.Process(target=time.sleep, args=(60,)) for _ in range(4)]
            for worker in workers: worker.start()
            print("found so far: 7")
            for worker in workers: worker.join()
        """
        result = await run(kernel, code, timeout=2.0)
        assert result.status is CellStatus.TIMEOUT
        assert result.output.startswith("found so far: 7\nCell ")
        assert "ForkProcess" not in result.output
        assert await output_of(kernel, "time.sleep(0)") == ""

    async def test_a_fork_that_leaves_its_cell_ends(self, kernel: KernelLease) -> None:
        code = """
            import os
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                print("parent")
        """
        assert await output_of(kernel, code) == "parent\n"
        assert await output_of(kernel, "2") == "2\n"


class TestState:
    async def test_cells_of_a_lease_share_their_state(self, kernel: KernelLease) -> None:
        await run(kernel, "def double(n):\n    return 2 * n")
        assert await output_of(kernel, "double(21)") == "42\n"
        assert await output_of(kernel, "_ + 1") == "43\n"

    async def test_a_module_that_a_cell_writes_can_be_imported(self, kernel: KernelLease) -> None:
        await run(kernel, "with open('written.py', 'w') as file: file.write('answer = 42')")
        assert await output_of(kernel, "from written import answer; answer") == "42\n"

    async def test_numba_keeps_what_it_has_compiled(self, kernel: KernelLease) -> None:
        """As in a notebook, whose cells it knows by their files' names."""
        pytest.importorskip("numba")
        code = """
            import numba
            @numba.njit(cache=True)
            def successor(n): return n + 1
            print(successor(41))
        """
        result = await run(kernel, code, timeout=60)
        assert result.output == "42\n", result

    async def test_leases_share_nothing(self, shared_pool: KernelPool) -> None:
        code = """
            import builtins, os, sys
            x = 1
            builtins.secret = 2
            sys.setrecursionlimit(4321)
            os.environ["SECRET"] = "3"
            open("file", "w").close()
            os.getpid()
        """
        async with shared_pool.lease(seed=1, owner="first") as kernel:
            first = int(await output_of(kernel, code))
        assert wait_until_gone(first)
        code = """
            import builtins, os, sys
            print("x" in globals(), hasattr(builtins, "secret"), "SECRET" in os.environ,
                  sys.getrecursionlimit() == 4321, os.listdir())
        """
        async with shared_pool.lease(seed=1, owner="second") as kernel:
            assert await output_of(kernel, code) == "False False False False []\n"

    async def test_an_emptied_namespace_does_not_break_the_kernel(
        self, kernel: KernelLease
    ) -> None:
        await run(kernel, "globals().clear()")
        assert await output_of(kernel, "6 * 7") == "42\n"

    async def test_what_a_kernel_starts_with_is_not_listed_as_cells_(
        self, kernel: KernelLease
    ) -> None:
        names = (await output_of(kernel, "x = 1\n%who")).split()
        # A cold kernel's start-up code is run as a cell.
        assert set(names) - {"math"} == {"x"}

    async def test_values_are_stored(self, kernel: KernelLease) -> None:
        await run(kernel, "x = 41\n%store x\nx = 0")
        assert await output_of(kernel, "%store -r x\nx + 1") == "42\n"

    async def test_no_thread_hands_messages_on(self, kernel: KernelLease) -> None:
        code = "import threading\nsorted(thread.name for thread in threading.enumerate())"
        assert await output_of(kernel, code) == "['Control', 'IOPub', 'MainThread']\n"
