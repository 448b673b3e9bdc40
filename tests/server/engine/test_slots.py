"""Which session decodes in which slot."""

from contextlib import AsyncExitStack

import anyio
import pytest
from anyio.lowlevel import checkpoint

from server.engine import slots
from server.engine.slots import SlotTable, common_prefix


@pytest.fixture(autouse=True)
def sessions_forsaken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a session that is idle for gone: these here are not released."""
    monkeypatch.setattr(slots, "KEPT_S", 0.0)


@pytest.mark.parametrize(
    ("a", "b", "shared"),
    [([], [], 0), ([1], [], 0), ([1, 2], [1, 2, 3], 2), ([1, 2, 3], [1, 9, 3], 1), ([9], [1], 0)],
)
def test_common_prefix(a: list[int], b: list[int], shared: int) -> None:
    assert common_prefix(a, b) == common_prefix(b, a) == shared
    assert common_prefix(tuple(a), b) == shared


async def turn(table: SlotTable, session: str, prompt: list[int]) -> int:
    """Use a slot for one request that makes it hold the prompt; return its number."""
    async with table.use(session, prompt) as slot:
        slot.held = list(prompt)
        slot.fresh = False
        return slot.number


async def test_a_session_keeps_its_slot_from_turn_to_turn() -> None:
    table = SlotTable(3)
    a, b = await turn(table, "a", [1, 2]), await turn(table, "b", [1, 2])
    assert a != b
    for _ in range(3):
        assert await turn(table, "b", [1, 2, 3]) == b
        assert await turn(table, "a", [1, 2, 4]) == a


async def test_a_new_session_takes_the_free_slot_that_shares_most() -> None:
    table = SlotTable(3)
    places = {s: await turn(table, s, prompt) for s, prompt in
              {"a": [1, 2, 3], "b": [7, 8, 9], "c": [1, 5]}.items()}  # fmt: skip
    for session in places:
        table.release(session)
    assert await turn(table, "d", [7, 8, 1]) == places["b"]
    assert await turn(table, "e", [1, 2]) == places["a"]


async def test_with_more_sessions_than_slots_a_new_one_waits_for_an_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not for a pause between turns, in which another runs its code."""
    monkeypatch.setattr(slots, "KEPT_S", 60.0)
    table = SlotTable(1)
    order: list[str] = []

    async def later() -> None:
        await turn(table, "b", [2])
        order.append("b")

    async with anyio.create_task_group() as group:
        await turn(table, "a", [1])
        group.start_soon(later)
        await checkpoint()
        for _ in range(3):
            await anyio.sleep(2 * slots.LOOK_S)
            await turn(table, "a", [1])
            order.append("a")
        table.release("a")
    assert order == ["a", "a", "a", "b"]


async def test_with_more_sessions_than_slots_the_longest_idle_one_loses_its_slot() -> None:
    table = SlotTable(2)
    a, b = await turn(table, "a", [1]), await turn(table, "b", [2])
    await turn(table, "a", [1])
    assert await turn(table, "c", [3]) == b
    assert await turn(table, "a", [1]) == a
    async with table.use("b", [2]) as slot:
        assert slot.fresh
        assert slot.number == b


async def test_fresh_says_that_the_session_has_not_used_the_slot() -> None:
    table = SlotTable(1)
    async with table.use("a", [1]) as slot:
        assert slot.fresh
        slot.fresh = False
    async with table.use("a", [1]) as slot:
        assert not slot.fresh
    async with table.use("b", [1]) as slot:
        assert slot.fresh
        slot.fresh = False
    table.forget()
    async with table.use("b", [1]) as slot:
        assert slot.fresh
        assert slot.held == []


async def test_those_who_wait_are_served_in_the_order_in_which_they_came() -> None:
    table = SlotTable(1)
    served: list[str] = []

    async def wait_turn(session: str) -> None:
        async with table.use(session, [1]):
            served.append(session)

    async with anyio.create_task_group() as group:
        async with table.use("first", [1]):
            for number in range(5):
                group.start_soon(wait_turn, f"w{number}")
                await checkpoint()
        # Comes when the slot has just become free, before those who wait have run.
        await wait_turn("newcomer")
    assert served == ["w0", "w1", "w2", "w3", "w4", "newcomer"]


async def test_requests_of_one_session_do_not_overlap_nor_hold_up_others() -> None:
    table = SlotTable(2)
    running: set[str] = set()
    order: list[str] = []

    async def second() -> None:
        async with table.use("a", [1]):
            assert "a" not in running
            order.append("second of a")

    async with anyio.create_task_group() as group, table.use("a", [1]):
        running.add("a")
        group.start_soon(second)
        await checkpoint()
        # Came later, but another slot is free for it.
        async with table.use("b", [1]):
            order.append("b")
        running.discard("a")
    assert order == ["b", "second of a"]


@pytest.mark.parametrize("given_first", [False, True])
async def test_cancellation_while_waiting_loses_no_slot(given_first: bool) -> None:
    table = SlotTable(1)

    async def wait_for_ever() -> None:
        async with table.use("cancelled", [1]):
            await anyio.sleep_forever()

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(table.use("holder", [1]))
        async with anyio.create_task_group() as group:
            group.start_soon(wait_for_ever)
            await checkpoint()
            if given_first:
                # The slot is handed over, but the waiter has not run when it is cancelled.
                await stack.aclose()
            group.cancel_scope.cancel()
    with anyio.fail_after(1):
        assert await turn(table, "next", [1]) == 0
    assert table._waiting == []


async def test_an_error_in_the_block_frees_the_slot() -> None:
    table = SlotTable(1)
    with pytest.raises(ZeroDivisionError):
        async with table.use("a", [1]):
            raise ZeroDivisionError
    with anyio.fail_after(1):
        assert await turn(table, "b", [1]) == 0


async def test_many_sessions_over_few_slots_never_share_one() -> None:
    table = SlotTable(3)
    busy: set[int] = set()
    done = 0

    async def session(name: str) -> None:
        nonlocal done
        for length in range(1, 6):
            async with table.use(name, [1] * length) as slot:
                assert slot.number not in busy
                busy.add(slot.number)
                await checkpoint()
                busy.remove(slot.number)
            await checkpoint()
        table.release(name)
        done += 1

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(session, f"s{number}")
    assert done == 20
    assert all(slot.session is None and not slot.busy for slot in table.slots)
