"""Prompts that are prefilled once, against slots whose state is a list of ids."""

from dataclasses import dataclass, field

import anyio
import pytest
from anyio.lowlevel import checkpoint

from server.engine.errors import EngineProtocolError, EngineUnavailable
from server.engine.prefixes import MOST_STORED, WORTH_TOKENS, PrefixStore
from server.engine.slots import Slot

LONG = list(range(10 * WORTH_TOKENS))


@dataclass
class Disk:
    """What an engine with files does: the store's two callbacks, and a log of them."""

    files: dict[str, list[int]] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    fails: frozenset[str] = frozenset()
    prefilling: int = 0

    async def share(self, store: PrefixStore, slot: Slot, prompt: list[int]) -> None:
        async def prefill() -> None:
            self.prefilling += 1
            assert self.prefilling == 1
            await checkpoint()
            self.prefilling -= 1
            self.log.append("prefill")
            if "prefill" in self.fails:
                raise EngineUnavailable("died")

        async def action(name: str, filename: str) -> None:
            await checkpoint()
            self.log.append(name)
            if name in self.fails:
                raise EngineProtocolError("the disk is full")
            if name == "save":
                self.files[filename] = list(slot.held)
            else:
                # A file that was overwritten would restore another prompt's state.
                assert self.files[filename][: len(prompt)]

        await store.share(slot, prompt, prefill, action)


async def test_the_first_prefills_and_the_others_restore() -> None:
    store, disk = PrefixStore(), Disk()
    slots = [Slot(number) for number in range(4)]
    async with anyio.create_task_group() as group:
        for slot in slots:
            group.start_soon(disk.share, store, slot, LONG)
    assert disk.log == ["prefill", "save", "restore", "restore", "restore"]
    assert all(slot.held == LONG and not slot.fresh for slot in slots)


async def test_a_later_request_of_the_session_needs_nothing() -> None:
    disk = Disk()
    await disk.share(PrefixStore(), Slot(0, held=[], fresh=False), LONG)
    assert disk.log == []


async def test_short_gains_are_not_worth_it() -> None:
    store, disk = PrefixStore(), Disk()
    await disk.share(store, Slot(0), LONG[: WORTH_TOKENS - 1])
    await disk.share(store, Slot(1, held=LONG[WORTH_TOKENS:]), LONG[: WORTH_TOKENS - 1])
    await disk.share(store, Slot(2, held=LONG[:-1]), LONG)
    assert disk.log == []


async def test_what_two_prompts_share_is_restored_and_the_rest_prefilled() -> None:
    store, disk = PrefixStore(), Disk()
    await disk.share(store, Slot(0), LONG)
    slot = Slot(1)
    other = [*LONG[: 5 * WORTH_TOKENS], *[7] * (2 * WORTH_TOKENS)]
    await disk.share(store, slot, other)
    assert disk.log == ["prefill", "save", "restore", "prefill", "save"]
    assert slot.held == other


async def test_stored_states_are_bounded_and_no_file_in_use_is_overwritten() -> None:
    store, disk = PrefixStore(), Disk()
    prompts = [[start] * (2 * WORTH_TOKENS) for start in range(3 * MOST_STORED)]
    for prompt in prompts:
        await disk.share(store, Slot(0), prompt)
    assert len(disk.files) <= MOST_STORED + 1
    for prompt in prompts[-MOST_STORED:]:
        saved = next(item for item in store._saved if list(item.ids) == prompt)
        assert disk.files[saved.filename] == prompt
    disk.log.clear()
    await disk.share(store, Slot(1), prompts[-MOST_STORED])
    assert disk.log == ["restore"]


async def test_a_restart_forgets_all() -> None:
    store, disk = PrefixStore(), Disk()
    await disk.share(store, Slot(0), LONG)
    store.forget()
    await disk.share(store, Slot(1), LONG)
    assert disk.log == ["prefill", "save"] * 2


@pytest.mark.parametrize("failing", ["save", "restore"])
async def test_a_full_disk_costs_a_prefill_and_no_attempt(failing: str) -> None:
    store, disk = PrefixStore(), Disk(fails=frozenset({failing}))
    for number in range(3):
        slot = Slot(number)
        await disk.share(store, slot, LONG)
        assert slot.held == LONG
    assert disk.log.count("prefill") == 3


async def test_a_prefill_that_fails_leaves_the_store_usable() -> None:
    store, disk = PrefixStore(), Disk(fails=frozenset({"prefill"}))
    with pytest.raises(EngineUnavailable):
        await disk.share(store, Slot(0), LONG)
    disk.fails = frozenset()
    with anyio.fail_after(1):
        await disk.share(store, Slot(1), LONG)
    assert disk.log == ["prefill", "prefill", "save"]


async def test_after_saves_that_failed_no_file_stands_for_two_states() -> None:
    store, disk = PrefixStore(), Disk()
    failing = [MOST_STORED, MOST_STORED + 1, MOST_STORED + 2]
    for number in range(3 * MOST_STORED):
        prompt = [number] * len(LONG)
        disk.fails = frozenset({"save"}) if number in failing else frozenset()
        await disk.share(store, Slot(0), prompt)
        assert all(disk.files[saved.filename] == list(saved.ids) for saved in store._saved)
