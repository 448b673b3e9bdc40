"""Where an engine is in its life, and how to wait for it: what all kinds have in common."""

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass

import anyio

from server.engine.base import EngineState, EngineStatus
from server.engine.errors import EngineError, EngineFailed

#: A broken stream is the first sign of a death, which is seen for certain a little later.
DEATH_SEEN_S = 1.0
#: Before an engine is asked again that answered a proof with an error.
PROVE_AGAIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Proof:
    """How an engine proves that it works: `work` returns once it has made a token.

    It raises an `EngineError` when the engine answers otherwise, and is cancelled after `within_s`:
    as long as a stream may be silent.
    """

    work: Callable[[], Awaitable[None]]
    within_s: float


class Lifecycle(ABC):
    """State of one engine; `server.engine.supervisor` runs a process, `attached` watches a URL."""

    def __init__(self, name: str, proof: Proof | None = None) -> None:
        self._name = name
        self._proof = proof
        self._doubted = anyio.Event()
        self._heard_at = 0.0
        #: Open streams, and whether they have begun to send.
        self._streams: dict[object, bool] = {}
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

    @contextmanager
    def streaming(self) -> Iterator[Callable[[], None]]:
        """Hold a stream; what is yielded is to be called at each of its events."""
        stream = object()
        self._streams[stream] = False

        def heard() -> None:
            self._heard_at = time.monotonic()
            if stream in self._streams:
                self._streams[stream] = True

        try:
            yield heard
        finally:
            del self._streams[stream]

    def doubt(self) -> None:
        """Have the engine asked for a proof that it works: a stream stalled, or got nonsense."""
        self._doubted.set()

    async def stops_working(self) -> str:
        """Return what is wrong once the engine, in doubt, sends nothing and proves nothing.

        A process can live and answer `/health` while its scheduler hangs: only tokens count. It is
        in doubt too when streams that have begun, all of them, are silent for as long as one may
        be: how long a prompt may be prefilled does not matter then.
        """
        while True:
            # A doubt from before, or from during the proof, is answered by it.
            self._doubted = anyio.Event()
            await self._until_in_doubt()
            asked = time.monotonic()
            problem = await self._disproof()
            if problem and self._heard_at < asked:
                return problem
            self._heard_at = time.monotonic()

    async def _until_in_doubt(self) -> None:
        """Return when there is a reason to ask for a proof."""
        if self._proof is None:
            await anyio.sleep_forever()
            return
        while not self._doubted.is_set():
            with anyio.move_on_after(self._proof.within_s / 4):
                await self._doubted.wait()
            if (
                any(self._streams.values())
                and time.monotonic() - self._heard_at > self._proof.within_s
            ):
                return

    async def _disproof(self) -> str:
        if self._proof is None:
            return ""
        problem = f"no token within {self._proof.within_s:g} s"
        with anyio.move_on_after(self._proof.within_s):
            while True:
                try:
                    await self._proof.work()
                except EngineError as error:
                    problem = str(error)
                else:
                    return ""
                await anyio.sleep(PROVE_AGAIN_S)
        return problem

    async def changed(self) -> None:
        """Return at the next change of state."""
        await self._changed.wait()

    def _set(self, state: EngineState, detail: str, *, died: bool = False) -> None:
        self._status = EngineStatus(state, detail, self._status.restarts + died)
        self._changed.set()
        self._changed = anyio.Event()
