"""Runs as the journal has them: read back, listed, written."""

from collections import Counter
from collections.abc import Callable, Container
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio.to_thread
import structlog

from server.journal.errors import JournalError
from server.journal.journal import Journal
from server.journal.runs import AnswerRow, RunRow
from server.runs.clock import Clocks
from server.runs.listing import Place, StoredPage
from server.runs.run import Run, run_of
from server.runs.stored import StoredRun, list_runs, load_run

log = structlog.get_logger(__name__)

Read = TypeVar("Read")

#: How long opening a run waits until it is on the disk; where the journal is behind, it goes on
#: without: the run is written as soon as that can be.
WRITTEN_S = 2.0


class RunArchive:
    """The runs of a journal, or of none; `is_read` from when a server has taken up the open ones.

    A run that was damaged is left out, and named in the log: it may be opened anew.
    """

    def __init__(self, journal: Journal | None, clocks: Clocks) -> None:
        self._journal = journal
        self._clocks = clocks
        self.is_read = False

    async def load(self, run_id: str) -> StoredRun | None:
        """Return a run with its results; None where there is none, or it cannot be read now."""
        path = self._path
        load = partial(load_run, run_id=run_id)
        return None if path is None else await read_journal(path, load, None)

    async def listing(self, known: Container[str], limit: int, before: Place | None) -> StoredPage:
        """Return the newest runs but for those known, below `before` where that is given."""
        path = self._path
        if path is None:
            return StoredPage([])
        nothing: tuple[list[RunRow], Counter[str]] = ([], Counter())
        load = partial(list_runs, limit=limit + 1, before=before)
        rows, done = await read_journal(path, load, nothing)
        read = rows[:limit]
        runs = [self._run(row, run_of, row) for row in read if row.id not in known]
        wires = [
            (run.place, run.wire(solves=False).model_copy(update={"done": done[run.id]}))
            for run in runs
            if run is not None
        ]
        return StoredPage(wires, (read[-1].created, read[-1].id) if len(rows) > limit else None)

    def run(self, stored: StoredRun) -> Run | None:
        """Return the run that was stored; None of a damaged one."""
        return self._run(stored.row, StoredRun.run, stored)

    def put(self, run: Run) -> None:
        """Have a run written before long."""
        if self._journal is not None:
            self._journal.put_run(run.row())

    async def write(self, run: Run, answer: AnswerRow | None = None) -> None:
        """See that a run, and what its caller answered, is on the disk, or will be."""
        if self._journal is None:
            return
        # With an answer too: a journal that had to be begun anew has the run then.
        self._journal.put_run(run.row())
        if answer is not None:
            self._journal.put_answer(answer)
        if not await self._journal.flush(WRITTEN_S):
            log.warning("run.not_written", run=run.id)

    @property
    def _path(self) -> Path | None:
        return self._journal.path if self._journal is not None and self.is_read else None

    def _run(self, row: RunRow, read: Callable[[Read, Clocks], Run], what: Read) -> Run | None:
        try:
            return read(what, self._clocks)
        except (ValueError, TypeError) as error:
            log.warning("run.unreadable", run=row.id, error=str(error))
            return None


async def read_journal(path: Path, load: Callable[[Path], Read], otherwise: Read) -> Read:
    """Read in a thread; `otherwise` where the journal cannot be read now."""
    try:
        return await anyio.to_thread.run_sync(load, path)
    except JournalError as error:
        log.warning("run.unread", error=str(error))
        return otherwise
