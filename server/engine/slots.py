"""Which session decodes in which of llama.cpp's slots.

A slot keeps the keys and values of the last token list that it worked on. A session keeps its slot
between turns, so that each turn's prompt is found there but for what was appended. Without this
table llama.cpp picks the most similar slot, and two attempts with the same start take turns in
overwriting each other.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many ids both lists start with."""
    most = min(len(a), len(b))
    if list(a[:most]) == list(b[:most]):
        return most
    return next(i for i in range(most) if a[i] != b[i])


@dataclass(slots=True, eq=False)
class Slot:
    """One slot: the ids it holds, the session it is kept for, and whether it works now.

    `fresh` says that the session has not used it yet (or not since the engine restarted).
    """

    number: int
    held: list[int] = field(default_factory=list)
    session: str | None = None
    busy: bool = False
    fresh: bool = True
    last_used: int = 0


class SlotTable:
    """Gives slots to sessions, first come, first served."""

    def __init__(self, count: int) -> None:
        self.slots = [Slot(number) for number in range(count)]
        self._changed = anyio.Event()
        self._tick = 0

    @asynccontextmanager
    async def use(self, session: str, prompt: Sequence[int]) -> AsyncIterator[Slot]:
        """Hold a slot for one request of the session.

        Best is the session's own slot, then a free one, and of those the one that shares most with
        the prompt; with more sessions than slots, the idle one that was used longest ago.
        """
        slot = await self._take(session, prompt)
        try:
            yield slot
        finally:
            slot.busy = False
            self._wake()

    def release(self, session: str) -> None:
        """Free the session's slot for others; what it holds stays."""
        for slot in self.slots:
            if slot.session == session:
                slot.session = None
                self._wake()

    def forget(self) -> None:
        """Take note that the engine restarted: no slot holds anything."""
        for slot in self.slots:
            slot.held = []
            slot.fresh = True

    async def _take(self, session: str, prompt: Sequence[int]) -> Slot:
        while (slot := self._choose(session, prompt)) is None:
            await self._changed.wait()
        self._tick += 1
        slot.fresh = slot.fresh or slot.session != session
        slot.busy, slot.session, slot.last_used = True, session, self._tick
        return slot

    def _wake(self) -> None:
        # All look again, in the order in which they came: which of them a slot suits is theirs.
        self._changed.set()
        self._changed = anyio.Event()

    def _choose(self, session: str, prompt: Sequence[int]) -> Slot | None:
        for slot in self.slots:
            if slot.session == session:
                return None if slot.busy else slot
        idle = [slot for slot in self.slots if not slot.busy]
        free = [slot for slot in idle if slot.session is None]
        if free:
            return max(free, key=lambda s: (common_prefix(s.held, prompt), -s.last_used))
        return min(idle, key=lambda s: s.last_used, default=None)
