"""What was just read serves others who ask the same, and only for a moment."""

from functools import partial

import anyio
import pytest

from server.api.recent import Recent

pytestmark = pytest.mark.anyio


class Counting:
    """A reading that counts, and waits until it may go on."""

    def __init__(self) -> None:
        self.reads = 0
        self.go_on = anyio.Event()

    async def read(self) -> int:
        self.reads += 1
        value = self.reads
        await self.go_on.wait()
        return value


async def add(got: list[int], recent: Recent[str, int], source: Counting) -> None:
    """Ask for one key."""
    got.append(await recent.get("a", source.read))


async def test_one_reads_for_all_that_wait() -> None:
    recent: Recent[str, int] = Recent(60, 4, 99, abs)
    source = Counting()
    got: list[int] = []
    ask = partial(add, got, recent, source)

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        source.go_on.set()
    assert got == [1] * 5
    assert source.reads == 1
    assert await recent.get("b", source.read) == 2


async def test_a_reader_that_is_cancelled_leaves_it_to_the_next() -> None:
    recent: Recent[str, int] = Recent(60, 4, 99, abs)
    source = Counting()
    got: list[int] = []
    ask = partial(add, got, recent, source)

    async with anyio.create_task_group() as patient:
        async with anyio.create_task_group() as impatient:
            impatient.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            patient.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            impatient.cancel_scope.cancel()
        source.go_on.set()
    assert got == [2]


async def test_a_failure_is_not_kept() -> None:
    recent: Recent[str, int] = Recent(60, 4, 99, abs)

    async def fail() -> int:
        raise OSError("gone")

    async def read() -> int:
        return 7

    with pytest.raises(OSError, match="gone"):
        await recent.get("a", fail)
    assert await recent.get("a", read) == 7


async def test_what_may_have_changed_is_read_again_also_while_it_is_read() -> None:
    recent: Recent[str, int] = Recent(60, 4, 99, abs)
    source = Counting()
    got: list[int] = []
    ask = partial(add, got, recent, source)

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        recent.forget()
        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        source.go_on.set()
    assert sorted(got) == [1, 2]
    # The first one was begun before the change, and is not what is kept.
    assert await recent.get("a", source.read) == 2


async def test_it_is_kept_for_its_time_and_within_its_number() -> None:
    source = Counting()
    source.go_on.set()
    at_once: Recent[str, int] = Recent(0, 4, 99, abs)
    assert [await at_once.get("a", source.read) for _ in range(3)] == [1, 2, 3]
    few: Recent[str, int] = Recent(60, 2, 99, abs)
    for key in "abc":
        await few.get(key, source.read)
    reads = source.reads
    await few.get("c", source.read)
    await few.get("b", source.read)
    assert source.reads == reads
    await few.get("a", source.read)
    assert source.reads == reads + 1


async def test_it_is_kept_within_its_bytes() -> None:
    source = Counting()
    source.go_on.set()
    # The first value weighs 1, the second 2, and so on.
    light: Recent[str, int] = Recent(60, 9, 5, abs)
    for key in "abc":
        await light.get(key, source.read)
    assert [await light.get(key, source.read) for key in "bc"] == [2, 3]
    assert await light.get("a", source.read) == 4
    assert await light.get("b", source.read) == 5
    assert await light.get("c", source.read) == 6
    assert await light.get("c", source.read) == 7, "what is heavier than all may be is not kept"
    light.forget()
    assert light._bytes == 0
