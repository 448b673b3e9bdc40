"""Which session decodes in which of llama.cpp's slots.

A slot keeps the keys and values of the last token list that it worked on. A session keeps its slot
between turns, so that each turn's prompt is found there but for what was appended. Without this
table llama.cpp picks the most similar slot, and two attempts with the same start take turns in
overwriting each other. With more sessions than slots, a new one waits for the end of another rather
than for its next tool call: taken between turns, a slot would have to be prefilled for both of them
again and again.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

#: A session that is idle for longer may lose its slot: its next prefill takes about as long.
KEPT_S = 10.0
#: How often one who waits looks for such a slot; what is released is handed over at once.
LOOK_S = 0.5


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many ids both lists start with."""
    most = min(len(a), len(b))
    if list(a[:most]) == list(b[:most]):
        return most
    return next(i for i in range(most) if a[i] != b[i])


@dataclass(slots=True, eq=False)
class Slot:
    """One slot: the ids it holds, the session it is kept for, and whether it works now.

    `fresh` says that the session has not used it yet (or not since the engine restarted);
    `idle_since` is when it last worked, on the clock of the event loop.
    """

    number: int
    held: list[int] = field(default_factory=list)
    session: str | None = None
    busy: bool = False
    fresh: bool = True
    last_used: int = 0
    idle_since: float = 0.0


@dataclass(slots=True, eq=False)
class _Waiter:
    """A request in line; it owns its slot from the moment it is given, awake or not."""

    session: str
    prompt: Sequence[int]
    slot: Slot | None = None
    given: anyio.Event = field(default_factory=anyio.Event)

    def taken(self) -> Slot:
        assert self.slot is not None  # noqa: S101 - `given` is set after it
        return self.slot


class SlotTable:
    """Gives slots to sessions, first come, first served; requests of one session in turn."""

    def __init__(self, count: int) -> None:
        self.slots = [Slot(number) for number in range(count)]
        self._waiting: list[_Waiter] = []
        self._tick = 0

    @asynccontextmanager
    async def use(self, session: str, prompt: Sequence[int]) -> AsyncIterator[Slot]:
        """Hold a slot for one request of the session.

        Best is the session's own slot, then a free one, and of those the one that shares most with
        the prompt; with more sessions than slots, the one that was used longest ago of those that
        have been idle for `KEPT_S`.
        """
        waiter = _Waiter(session, prompt)
        self._waiting.append(waiter)
        self._hand_out()
        try:
            while waiter.slot is None:
                with anyio.move_on_after(LOOK_S):
                    await waiter.given.wait()
                # One looks for all: hundreds that did would take a good part of a core.
                if waiter.slot is None and self._waiting[0] is waiter:
                    self._hand_out()
            yield waiter.taken()
        finally:
            if waiter.slot is None:
                self._waiting.remove(waiter)
            else:
                waiter.slot.busy = False
                waiter.slot.idle_since = anyio.current_time()
            self._hand_out()

    def release(self, session: str) -> None:
        """Free the session's slot for others; what it holds stays."""
        for slot in self.slots:
            if slot.session == session:
                slot.session = None
        self._hand_out()

    def forget(self) -> None:
        """Take note that the engine restarted: no slot holds anything."""
        for slot in self.slots:
            slot.held = []
            slot.fresh = True

    def _hand_out(self) -> None:
        """Give idle slots to those who wait, in the order in which they came."""
        for waiter in tuple(self._waiting):
            slot = self._choose(waiter.session, waiter.prompt)
            if slot is None:
                # The next may have a slot of its own; one that needs any slot waits in line.
                continue
            self._tick += 1
            slot.fresh = slot.fresh or slot.session != waiter.session
            slot.busy, slot.session, slot.last_used = True, waiter.session, self._tick
            self._waiting.remove(waiter)
            waiter.slot = slot
            waiter.given.set()

    def _choose(self, session: str, prompt: Sequence[int]) -> Slot | None:
        for slot in self.slots:
            if slot.session == session:
                return None if slot.busy else slot
        idle = [slot for slot in self.slots if not slot.busy]
        free = [slot for slot in idle if slot.session is None]
        if free:
            return max(free, key=lambda s: (common_prefix(s.held, prompt), -s.last_used))
        forsaken = [slot for slot in idle if anyio.current_time() - slot.idle_since >= KEPT_S]
        return min(forsaken, key=lambda s: s.last_used, default=None)
