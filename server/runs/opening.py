"""Opens the runs of a server: those of its journal, and the file that outlives it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import structlog

from server.journal.journal import Journal
from server.runs.archive import read_journal
from server.runs.clock import Clocks
from server.runs.fallback import Fallback, read_fallback
from server.runs.library import known_paths
from server.runs.registry import RunRegistry
from server.runs.resuming import past_solves, resume_solves
from server.runs.stored import StoredRun, finished_runs, load_open_runs
from server.settings import Settings
from server.solve.service import SolveService

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_runs(
    settings: Settings,
    service: SolveService,
    journal: Journal | None,
    path: Path | None = None,
    clocks: Clocks | None = None,
) -> AsyncIterator[RunRegistry]:
    """Keep the registry of a server, with what its journal has open, now or once it can be had.

    The best answers so far are kept in the file `path`.

    Raises:
        LibraryUnreadable: the file of `runs.library` is none.
    """
    paths = await anyio.to_thread.run_sync(known_paths, settings.runs.library)
    runs = RunRegistry(
        service, journal, clocks, settings=settings.runs, solve=settings.solve, paths=paths
    )
    runs.earlier = await anyio.to_thread.run_sync(read_fallback, path) if path else {}
    if journal is not None and journal.is_open:
        await _take_up(runs, journal, settings.runs.rebuild_s)
    async with anyio.create_task_group() as group:
        if path is not None:
            fallback = Fallback(path, runs.lines)
            runs.changed = fallback.note
            group.start_soon(fallback.run)
        if journal is not None and not journal.is_open:
            group.start_soon(_take_up_later, runs, journal, settings.runs.rebuild_s)
        try:
            yield runs
        finally:
            group.cancel_scope.cancel()


async def _take_up_later(runs: RunRegistry, journal: Journal, rebuild_s: float) -> None:
    """Wait for a journal that could not be had at the start."""
    try:
        await journal.wait_open()
        journal.close_unfinished(runs=False)
        await _take_up(runs, journal, rebuild_s)
    except Exception:
        # The server goes on; what earlier servers left is taken up at its next start.
        log.exception("journal.not_taken_up", path=str(journal.path))


async def _take_up(runs: RunRegistry, journal: Journal, rebuild_s: float) -> None:
    """Take up the open runs of the journal, and the solves of theirs that a dead server left."""
    nothing: list[StoredRun] = []
    stored = await read_journal(journal.path, load_open_runs, nothing)
    nobody: frozenset[str] = frozenset()
    runs.forget(await read_journal(journal.path, finished_runs, nobody))
    pasts = await past_solves(journal, rebuild_s)
    # Without a pause: whoever asks for a problem of such a run must find the solve that is at it.
    runs.keep(stored)
    resume_solves(runs, journal, pasts)
