"""Opens the runs of a server: those of its journal, and the file that outlives it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread

from server.journal.journal import Journal
from server.runs.clock import Clocks
from server.runs.fallback import Fallback, read_fallback
from server.runs.library import known_paths
from server.runs.registry import RunRegistry, read_journal
from server.runs.resuming import resume_solves
from server.runs.stored import StoredRun, load_open_runs
from server.settings import Settings
from server.solve.service import SolveService


@asynccontextmanager
async def open_runs(
    settings: Settings,
    service: SolveService,
    journal: Journal | None,
    path: Path | None = None,
    clocks: Clocks | None = None,
) -> AsyncIterator[RunRegistry]:
    """Keep the registry of a server, with the runs that its journal has open.

    The best answers so far are kept in the file `path`.

    Raises:
        LibraryUnreadable: the file of `runs.library` is none.
    """
    paths = await anyio.to_thread.run_sync(known_paths, settings.runs.library)
    runs = RunRegistry(
        service, journal, clocks, settings=settings.runs, solve=settings.solve, paths=paths
    )
    stored: list[StoredRun] = []
    if journal is not None:
        stored = await read_journal(journal.path, load_open_runs, stored)
    earlier = await anyio.to_thread.run_sync(read_fallback, path) if path else {}
    runs.keep(stored, earlier)
    if journal is not None:
        await resume_solves(runs, journal, settings.runs.rebuild_s)
    if path is None:
        yield runs
        return
    fallback = Fallback(path, runs.lines)
    runs.changed = fallback.note
    async with anyio.create_task_group() as group:
        group.start_soon(fallback.run)
        try:
            yield runs
        finally:
            group.cancel_scope.cancel()
