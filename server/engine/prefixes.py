"""Prefills a problem's prompt once instead of once an attempt.

Attempts at one problem start from the same ids but decode in slots of their own. The first one
prefills and has llama.cpp save the slot's state (7 MB and 20 ms for 250 tokens of the default
model, whose prefill takes 2.7 s on two cores); the others restore it. A later problem restores what
it shares with an earlier one: the system prompt.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import anyio
import structlog

from server.engine.errors import EngineProtocolError
from server.engine.slots import Slot, common_prefix

log = structlog.get_logger(__name__)

#: Shorter gains do not pay for two requests.
WORTH_TOKENS = 32
MOST_STORED = 4


@dataclass(frozen=True, slots=True)
class _Saved:
    filename: str
    ids: Sequence[int]


class PrefixStore:
    """The saved states of one engine process. One prefill at a time: it takes the whole engine."""

    def __init__(self) -> None:
        self._saved: list[_Saved] = []
        self._count = 0
        self._lock = anyio.Lock()

    def forget(self) -> None:
        """Take note that the engine restarted."""
        self._saved = []

    async def share(
        self,
        slot: Slot,
        prompt: list[int],
        prefill: Callable[[], Awaitable[None]],
        slot_action: Callable[[str, str], Awaitable[None]],
    ) -> None:
        """Have the slot hold the prompt, from a saved state as far as one reaches.

        Only for a session's first request; later ones find their own past in the slot. States that
        cannot be saved or restored (a full disk) cost time, not the attempt.
        """
        if not slot.fresh:
            return
        slot.fresh = False
        if len(prompt) - common_prefix(slot.held, prompt) < WORTH_TOKENS:
            return
        async with self._lock:
            await self._restore_best(slot, prompt, slot_action)
            if len(prompt) - common_prefix(slot.held, prompt) < WORTH_TOKENS:
                return
            slot.held = []
            await prefill()
            slot.held = prompt
            self._count += 1
            saved = _Saved(f"prefix-{self._count % (MOST_STORED + 1)}", tuple(prompt))
            # After saves that failed, an old state can still have this name.
            self._saved = [old for old in self._saved if old.filename != saved.filename]
            if await _succeeds(slot_action("save", saved.filename)):
                self._saved = [*self._saved[-MOST_STORED + 1 :], saved]

    async def _restore_best(
        self, slot: Slot, prompt: list[int], slot_action: Callable[[str, str], Awaitable[None]]
    ) -> None:
        def shared(saved: _Saved) -> int:
            return common_prefix(saved.ids, prompt)

        best = max(self._saved, key=shared, default=None)
        if best and shared(best) >= common_prefix(slot.held, prompt) + WORTH_TOKENS:
            if await _succeeds(slot_action("restore", best.filename)):
                slot.held = list(best.ids)
            else:
                slot.held = []
                self._saved.remove(best)


async def _succeeds(action: Awaitable[None]) -> bool:
    try:
        await action
    except EngineProtocolError as error:
        log.warning("engine.prefix_not_shared", problem=str(error))
        return False
    return True
