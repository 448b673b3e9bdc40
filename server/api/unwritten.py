"""Solves that have ended and are not in the journal yet: kept until they are."""

from collections.abc import Callable
from dataclasses import dataclass

import anyio

from client.schema import Event, SolveFinished
from server.journal.journal import Journal
from server.solve.service import SolveHandle, SolveService

#: As many solves as are kept where the journal is behind, or where there is none: the newest.
MOST = 16
#: A try to see them written, and the pause before the next one, in seconds.
WRITTEN_S = 2.0
AGAIN_S = 1.0


class Unwritten:
    """Handles of ended solves, so that their callers find them on a full disk too.

    `find` names the solves that run. Their events are in memory: on a sound disk for a moment.
    """

    def __init__(
        self, journal: Journal | None, find: Callable[[str], SolveHandle | None], most: int = MOST
    ) -> None:
        self._journal = journal
        self._find = find
        self._most = most
        self._handles: dict[str, SolveHandle] = {}
        self._grown = anyio.Event()

    def take(self, event: Event) -> None:
        """Keep a solve that ends."""
        if not isinstance(event, SolveFinished) or (handle := self._find(event.solve_id)) is None:
            return
        self._handles[event.solve_id] = handle
        while len(self._handles) > self._most:
            del self._handles[next(iter(self._handles))]
        self._grown.set()

    def get(self, solve_id: str) -> SolveHandle | None:
        """Return a solve that has ended and is not in the journal."""
        return self._handles.get(solve_id)

    def list(self) -> list[SolveHandle]:
        """Return all of them, in the order of their ends."""
        return list(self._handles.values())

    async def let_go(self) -> None:
        """Drop what has been written; until cancelled."""
        if self._journal is None:
            return
        while True:
            await self._grown.wait()
            self._grown = anyio.Event()
            ended = list(self._handles)
            while not await self._journal.flush(WRITTEN_S):
                await anyio.sleep(AGAIN_S)
                ended = list(self._handles)
            for solve_id in ended:
                self._handles.pop(solve_id, None)


@dataclass(frozen=True, slots=True)
class Known:
    """The solves that run, and those that have ended and are on their way to the disk."""

    solves: SolveService
    unwritten: Unwritten

    def get(self, solve_id: str) -> SolveHandle | None:
        """Return one of them."""
        return self.solves.get(solve_id) or self.unwritten.get(solve_id)

    def list(self) -> list[SolveHandle]:
        """Return all of them, each once."""
        handles = [*self.unwritten.list(), *self.solves.live()]
        return list({handle.solve_id: handle for handle in handles}.values())
