"""Solves that have ended, from the journal: read in threads, while it is written."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from pathlib import Path
from sys import getsizeof
from typing import TypeVar

import anyio
import anyio.to_thread

from client.schema import Event, SolveDetail, SolveFinished, SolveInfo, SolveResult
from server.api.listing import Cursor, stored_info
from server.api.recent import Recent
from server.journal.journal import Journal
from server.journal.reader import JournalReader, SolveFilter, StoredAttempt
from server.journal.rows import EventRow, sound_event

Read = TypeVar("Read")

#: Reads at once: SQLite takes a reader's queries one by one, and other routes need threads too.
READS = 4
#: Events read before others get their turn.
EVENTS_AT_ONCE = 200
#: Seconds in which a solve that has just ended is in the file; it takes 0.4 s at the most.
WRITTEN_S = 2.0
#: Seconds for which what was read serves others who ask the same, and how many answers are kept:
#: a server that is asked 500 times a second reads a few times. The end of a solve of this server
#: drops them; what other programs write is seen this much later. Problems may be long: a page of
#: 500 solves takes up to 30 MB.
RECENT_S = 0.25
RECENT = 16
RECENT_BYTES = 16 * 2**20
#: Bytes of a solve in a list beside its problem, and of an attempt in a result.
INFO_BYTES = 2_000
ATTEMPT_BYTES = 2_000

Page = list[tuple[Cursor, SolveInfo]]


class History:
    """What the journal knows; without one, or while it is not open, nothing.

    Opened in the application's lifespan.

    Reading raises `JournalUnreadable` where the file is damaged or gone.
    """

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self._path = journal.status().path if journal is not None else Path()
        self._limit = anyio.CapacityLimiter(READS)
        self._ended = False
        self._catching_up = anyio.Lock()
        self._pages: Recent[SolveFilter, Page] = Recent(
            RECENT_S, RECENT, RECENT_BYTES, lambda page: sum(_weight(info) for _, info in page)
        )
        self._solves: Recent[str, SolveDetail | None] = Recent(
            RECENT_S, RECENT, RECENT_BYTES, _weight
        )
        self._reader: JournalReader | None = None
        self._inode = 0
        self._opening = threading.Lock()

    @property
    def kept(self) -> bool:
        """Whether there is a journal that can be read."""
        return self._journal is not None and self._journal.is_open

    def close(self) -> None:
        """Close the file."""
        if self._reader is not None:
            self._reader.close()

    def take(self, event: Event) -> None:
        """Note that a solve has ended: its end may not be in the file yet."""
        if isinstance(event, SolveFinished):
            self._ended = True

    async def page(self, wanted: SolveFilter) -> Page:
        """Return the solves that a filter lets through, newest first."""
        if not self.kept:
            return []
        await self._catch_up()

        def find(reader: JournalReader) -> Page:
            return [(Cursor.of(each), stored_info(each)) for each in reader.solves(wanted)]

        return await self._pages.get(wanted, lambda: self._read(find))

    async def solve(self, solve_id: str) -> SolveDetail | None:
        """Return a solve that is recorded, with its result, also if it has just ended."""
        if not self.kept:
            return None
        await self._catch_up()

        def find(reader: JournalReader) -> SolveDetail | None:
            stored = reader.find(solve_id)
            if stored is None:
                return None
            return SolveDetail(**dict(stored_info(stored)), result=_result(reader, solve_id))

        return await self._solves.get(solve_id, lambda: self._read(find))

    async def is_whole(self, solve_id: str) -> bool:
        """Whether a solve is recorded to its end; asked anew each time."""
        if not self.kept:
            return False
        await self._catch_up()
        return await self._read(lambda reader: _result(reader, solve_id) is not None)

    async def attempts(self, solve_id: str) -> list[StoredAttempt]:
        """Return the attempts of a solve, by index."""
        if not self.kept:
            return []
        return await self._read(lambda reader: reader.attempts(solve_id))

    async def events(self, solve_id: str, after: int = 0) -> AsyncIterator[Event]:
        """Yield the events of a solve with an id above `after`."""
        if not self.kept:
            return
        events: Iterator[Event] = await self._read(lambda reader: reader.events(after, solve_id))
        while page := await self._in_thread(lambda: list(islice(events, EVENTS_AT_ONCE))):
            for event in page:
                yield event

    async def _catch_up(self) -> None:
        """Wait until the solves that have ended are in the file; once for each, not each time."""
        if not self._ended and not self._catching_up.locked():
            return
        async with self._catching_up:
            if self._ended and self._journal is not None:
                self._ended = False
                await self._journal.flush(WRITTEN_S)
                self._pages.forget()
                self._solves.forget()

    async def _read(self, query: Callable[[JournalReader], Read]) -> Read:
        return await self._in_thread(lambda: query(self._opened()))

    async def _in_thread(self, work: Callable[[], Read]) -> Read:
        return await anyio.to_thread.run_sync(work, limiter=self._limit)

    def _opened(self) -> JournalReader:
        """Return a reader of the file that is the journal now; a damaged one is replaced."""
        with self._opening:
            inode = _inode(self._path)
            if self._reader is None or inode != self._inode:
                # That of a file that was set aside may be in use still: its last user closes it.
                self._reader = JournalReader(self._path)
                self._inode = inode
            return self._reader


def _weight(solve: SolveInfo | None) -> int:
    """Return about how many bytes of memory a solve takes."""
    if solve is None:
        return INFO_BYTES
    attempts = len(solve.result.attempts) if isinstance(solve, SolveDetail) and solve.result else 0
    return INFO_BYTES + getsizeof(solve.problem) + ATTEMPT_BYTES * attempts


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _result(reader: JournalReader, solve_id: str) -> SolveResult | None:
    rows = reader.query(
        "SELECT id, solve_id, attempt, type, at, recorded, body FROM events "
        "WHERE solve_id = ? AND type = 'solve.finished' ORDER BY id DESC LIMIT 1",
        (solve_id,),
    )
    event = sound_event(EventRow(*rows[0])) if rows else None
    return event.result if isinstance(event, SolveFinished) else None
