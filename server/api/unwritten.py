"""Solves that have ended and are not in the journal yet: kept until they are."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import anyio

from client.schema import Event, SolveFinished
from server.api.told import beginning, told
from server.journal.bulk import EVENT_BYTES, ITEM_BYTES, weigh
from server.journal.errors import NotWrittenYet
from server.journal.journal import MOST_QUEUED_BYTES, Journal
from server.solve.events import EventLog
from server.solve.service import SolveHandle, SolveService

#: Bytes of the solves that are kept where the journal is behind, or where there is none: as many as
#: wait for the journal itself. Beyond them the oldest have their results alone, then nothing.
MOST_BYTES = MOST_QUEUED_BYTES
#: Names of solves that are kept no more, and will be in the journal.
MOST_NAMES = 100_000
#: A try to see them written, and the pause before the next one, in seconds.
WRITTEN_S = 2.0
AGAIN_S = 1.0


class Unwritten:
    """Handles of ended solves, so that their callers find them on a full disk too.

    `find` names the solves that run. Their events are in memory: on a sound disk for a moment.
    """

    def __init__(
        self,
        journal: Journal | None,
        find: Callable[[str], SolveHandle | None],
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._journal = journal
        self._find = find
        self._most_bytes = most_bytes
        self._handles: dict[str, SolveHandle] = {}
        self._weights: dict[str, int] = {}
        self._shortened: set[str] = set()
        self._dropped: dict[str, None] = {}
        self._grown = anyio.Event()

    def take(self, event: Event) -> None:
        """Keep a solve that ends."""
        if not isinstance(event, SolveFinished) or (handle := self._find(event.solve_id)) is None:
            return
        self._handles[event.solve_id] = handle
        self._weights[event.solve_id] = _weight(handle)
        self._make_room()
        self._grown.set()

    def _make_room(self) -> None:
        """Keep within the bound; of the newest solve there is at least its result."""
        excess = sum(self._weights.values()) - self._most_bytes
        for solve_id in [each for each in self._handles if each not in self._shortened]:
            if excess <= 0:
                return
            short = self._handles[solve_id] = _result_alone(self._handles[solve_id])
            self._shortened.add(solve_id)
            excess -= self._weights[solve_id] - _weight(short)
            self._weights[solve_id] = _weight(short)
        for solve_id in list(self._handles)[:-1]:
            if excess <= 0:
                return
            excess -= self._weights[solve_id]
            self._forget(solve_id)
            if self._journal is not None:
                self._dropped[solve_id] = None
        while len(self._dropped) > MOST_NAMES:
            del self._dropped[next(iter(self._dropped))]

    def _forget(self, solve_id: str) -> None:
        self._handles.pop(solve_id, None)
        self._weights.pop(solve_id, None)
        self._shortened.discard(solve_id)

    def get(self, solve_id: str) -> SolveHandle | None:
        """Return a solve that has ended and is not in the journal.

        Raises:
            NotWrittenYet: there was no room for it; the journal will have it.
        """
        if solve_id in self._dropped:
            raise NotWrittenYet(solve_id)
        return self._handles.get(solve_id)

    def has_events(self, solve_id: str) -> bool:
        """Whether all events of a solve of these are there, and not its result alone."""
        return solve_id not in self._shortened

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
            ended = [*self._handles, *self._dropped]
            while not await self._journal.flush(WRITTEN_S):
                await anyio.sleep(AGAIN_S)
                ended = [*self._handles, *self._dropped]
            for solve_id in ended:
                self._forget(solve_id)
                self._dropped.pop(solve_id, None)


def _weight(handle: SolveHandle) -> int:
    """Return about how many bytes of memory a solve takes that has ended."""
    finished, past = handle.events.finished, handle.past
    reports = len(finished.result.attempts) if finished is not None else 0
    tokens = sum(each.tokens for each in past.attempts) if past is not None else 0
    size = EVENT_BYTES * reports + ITEM_BYTES * tokens + len(handle.plan.problem)
    return size + sum(map(weigh, told(handle)))


def _result_alone(handle: SolveHandle) -> SolveHandle:
    """Return a solve without what happened between its beginning and its end.

    Whoever follows it still has the whole.
    """
    events = EventLog(handle.solve_id, lambda: 0)
    last = handle.events.finished
    first = [event for event in beginning(handle) if event is not last]
    events.events = [*first, *([last] if last is not None else [])]
    return replace(handle, events=events, past=None)


@dataclass(frozen=True, slots=True)
class Known:
    """The solves that run, and those that have ended and are on their way to the disk."""

    solves: SolveService
    unwritten: Unwritten

    def get(self, solve_id: str) -> SolveHandle | None:
        """Return one of them.

        Raises:
            NotWrittenYet: it has ended, and is neither in memory nor in the journal.
        """
        return self.solves.get(solve_id) or self.unwritten.get(solve_id)

    def list(self) -> list[SolveHandle]:
        """Return all of them, each once."""
        handles = [*self.unwritten.list(), *self.solves.live()]
        return list({handle.solve_id: handle for handle in handles}.values())
