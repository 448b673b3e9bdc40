"""Where an engine is in its life, and how to wait for it: what all kinds have in common."""

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager

import anyio

from server.engine.base import EngineState, EngineStatus
from server.engine.errors import EngineFailed

#: A broken stream is the first sign of a death, which is seen for certain a little later.
DEATH_SEEN_S = 1.0


class Lifecycle(ABC):
    """State of one engine; `server.engine.supervisor` runs a process, `attached` watches a URL."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = anyio.Event()
        self._status = EngineStatus(EngineState.STARTING, f"{name} is being started")

    @abstractmethod
    def running(self) -> AbstractAsyncContextManager[None]:
        """Keep the engine alive, or watch it, for the length of the block."""

    def status(self) -> EngineStatus:
        """Return the state now."""
        return self._status

    async def wait_ready(self) -> None:
        """Return when the engine is ready; raise `EngineFailed` when it never will be."""
        while self._status.state is not EngineState.READY:
            if self._status.state in (EngineState.FAILED, EngineState.STOPPED):
                raise EngineFailed(self._status.detail)
            await self._changed.wait()

    async def confirm_death(self) -> None:
        """Return when the death that a broken stream suggests is seen, or after a second.

        Without this pause a caller would find the engine still ready, and break again.
        """
        with anyio.move_on_after(DEATH_SEEN_S):
            while self._status.state is EngineState.READY:
                await self._changed.wait()

    async def changed(self) -> None:
        """Return at the next change of state."""
        await self._changed.wait()

    def _set(self, state: EngineState, detail: str, *, died: bool = False) -> None:
        self._status = EngineStatus(state, detail, self._status.restarts + died)
        self._changed.set()
        self._changed = anyio.Event()
