"""Workers compare answers: right, within their time and memory, and gone when they are not."""

import os
from collections.abc import AsyncIterator

import anyio
import psutil
import pytest

from server.equivalence.pool import EquivalenceOptions, EquivalencePool

#: Enough for a comparison that loads the machine's last bits of sympy, on a busy machine.
PATIENT = EquivalenceOptions(workers=1, timeout_s=20.0)
#: A tower of powers: sympy computes it to the end of time or memory.
ENDLESS = ("9^{9^{9^9}}", "1")


def workers() -> set[int]:
    """Return the living worker processes of this one, those of other pools too."""
    children = psutil.Process(os.getpid()).children()
    return {
        each.pid for each in children if "server.equivalence.worker" in " ".join(each.cmdline())
    }


@pytest.fixture
def others() -> set[int]:
    """The workers of other pools."""
    return workers()


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[EquivalencePool]:
    async with EquivalencePool(PATIENT) as pool:
        yield pool


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("x^2-1", "(x-1)(x+1)", True),
        (r"\frac{1}{\sqrt{2}}", r"\frac{\sqrt{2}}{2}", True),
        (r"\sin^2 x+\cos^2 x", "1", True),
        (r"\{x, x+1\}", r"\{1+x, x\}", True),
        ("1 < x < 2", "(1,2)", True),
        (r"\frac{1}{2004!}", r"\frac{1}{2006!}", False),
        ("2^{-99}", "2^{-98}", False),
        (r"7^{2024}\pi", r"7^{2024}\pi+1", False),
        (r"\sqrt{2}+10^{-60}", r"\sqrt{2}", False),
        ("3.14159265358979323846264338327950288", r"\pi", False),
        (r"\{1,2,x\}", r"\{1,2\}", False),
        ("x+1", "y+1", False),
        (r"\sqrt{x^2}", "x", False),
        (r"\sin 30^{\circ}", r"\frac{1}{2}", True),
        ("(1+i)^{2}", "2i", True),
        (r"\frac{1}{i}", "i", False),
        (r"\sum_{i=1}^{n}i", r"\frac{n(n+1)}{2}", True),
        (r"\frac{n!}{(n-2)!}", "n(n-1)", True),
        (r"\sqrt[3]{-27}", "-3", True),
        ("P(x)=x^{2}-1", "(x-1)(x+1)", True),
        (r"AB=\sqrt{8}", r"2\sqrt{2}", True),
        (r"x\le-2or x\ge2", r"(-\infty,-2]\cup[2,\infty)", True),
        ("x>1or x<3", "x>1and x<3", False),
        ("1<x<3", "1,3", False),
        (r"m=\sqrt{2},n=4", r"4,\sqrt{2}", False),
        (
            r"\begin{pmatrix}1/5\\-18/5\end{pmatrix}",
            r"\begin{pmatrix}\frac{1}{5}\\-\frac{18}{5}\end{pmatrix}",
            True,
        ),
        (
            r"\begin{pmatrix}1/5\\18/5\end{pmatrix}",
            r"\begin{pmatrix}\frac{1}{5}\\-\frac{18}{5}\end{pmatrix}",
            False,
        ),
        (r"1/2\pm\sqrt{3}/2", r"\frac{1}{2}\pm\frac{\sqrt{3}}{2}", True),
        (r"\frac{-3\pm\sqrt{5}}{2}", r"\frac{-3+\sqrt{5}}{2},\frac{-3-\sqrt{5}}{2}", True),
        (r"\frac{-3\pm\sqrt{5}}{2}", r"-\frac{3}{2}\pm\frac{\sqrt{5}}{2}", True),
        (r"x=\frac{1\pm\sqrt{5}}{2}", r"\frac{1}{2}\pm\frac{\sqrt{5}}{2}", True),
        (r"\frac{1\pm\sqrt{5}}{2}", r"\frac{1+\sqrt{5}}{2}", False),
        (r"\frac{1\pm\sqrt{5}}{2}", r"\frac{1\pm\sqrt{6}}{2}", False),
        (r"\pm\frac{1\pm\sqrt{5}}{2}", r"\frac{1\pm\sqrt{5}}{2}", None),
        (r"2,\frac{1\pm\sqrt{5}}{2}", r"\frac{1\pm\sqrt{5}}{2}", None),
        ("5d", "5", False),
        ("5m", "5", False),
        # What the grammar would read as something else.
        (r"\Delta", r"\delta", None),
        (r"\frac{d}{dx}f", r"\frac{d}{dy}f", None),
        ("f^{(2)}(x)", "f^{2}(x)", None),
        ("f^{-1}(x)", r"\frac{1}{f(x)}", None),
        (r"\vec{a}\cdot\vec{b}", r"\vec{a}\times\vec{b}", None),
        ("0x1F", "0", None),
        ("2024-01-01", "2022", None),
        ("10--20", "30", None),
        ("1/2x", "1/(2x)", None),
        ("2/3\\pi", "2/(3\\pi)", None),
        ("2^{3}^{2}", "64", None),
        ("1:2:3", "1:3:2", None),
        ("f'(x)", "f(x)", None),
        ("x'", "x", None),
        ("A^{T}", "A", None),
        (r"3(\frac12)", r"\frac72", None),
        (r"3\left(\dfrac{1}{2}\right)", r"\frac{3}{2}", None),
        (r"\frac123", "1/23", None),
        ("11_2", "11_{10}", None),
        ("\\", "{", None),
        ("x" * 2_000, "y", None),
    ],
)
async def test_what_workers_say(
    pool: EquivalencePool, one: str, other: str, expected: bool | None
) -> None:
    assert await pool.are_equal(one, other) is expected
    assert await pool.are_equal(other, one) is expected


async def test_a_comparison_without_end_is_killed_and_the_next_one_works(
    others: set[int],
) -> None:
    options = EquivalenceOptions(workers=1, timeout_s=1.0)
    async with EquivalencePool(options) as pool:
        while await pool.are_equal("x+1", "1+x") is not True:
            assert pool.started < 5
        started = anyio.current_time()
        assert await pool.are_equal(*ENDLESS) is None
        assert anyio.current_time() - started < 5
        while await pool.are_equal("x+2", "2+x") is not True:
            assert pool.started < 5
        assert pool.started >= 2
    assert workers() <= others


async def test_a_comparison_beyond_its_memory_says_nothing(others: set[int]) -> None:
    """2^(2^34) has two gigabytes; a worker has one."""
    async with EquivalencePool(PATIENT) as pool:
        assert await pool.are_equal("x+1", "1+x") is True
        assert await pool.are_equal("2^{2^{34}}", "3^{2^{34}}") is None
        while await pool.are_equal("x+2", "2+x") is not True:
            assert pool.started < 5
    assert workers() <= others


async def test_cancellation_frees_the_worker_at_once(others: set[int]) -> None:
    async with EquivalencePool(PATIENT) as pool:
        assert await pool.are_equal("x+1", "1+x") is True
        with anyio.move_on_after(0.5) as scope:
            await pool.are_equal(*ENDLESS)
        assert scope.cancelled_caught
        assert await pool.are_equal("x+1", "1+x") is not False
    assert workers() <= others


async def test_no_worker_is_started_before_the_first_question(others: set[int]) -> None:
    async with EquivalencePool(PATIENT) as pool:
        assert workers() <= others
        assert pool.started == 0


async def test_the_loop_is_not_blocked(pool: EquivalencePool) -> None:
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            before = anyio.current_time()
            await anyio.sleep(0.005)
            longest = max(longest, anyio.current_time() - before)

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        await pool.are_equal(r"\tan 75^\circ", r"2+\sqrt3")
        group.cancel_scope.cancel()
    assert longest < 0.5
