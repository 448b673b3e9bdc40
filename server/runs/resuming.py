"""Goes on with the solves of open runs that a dead server left."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import anyio.to_thread
import structlog
from pydantic import ValidationError

from client.schema import SolveRequest
from server.journal.errors import JournalError
from server.journal.journal import Journal
from server.journal.reader import JournalReader
from server.journal.unfinished import UnfinishedSolve
from server.runs.registry import RunRegistry
from server.solve.past import PastSolve, past_of
from voting.errors import VotingError

log = structlog.get_logger(__name__)


async def past_solves(journal: Journal, rebuild_s: float) -> dict[str, PastSolve]:
    """Return what is known of the solves of runs that a dead server left, by id."""
    load = partial(_load, journal.path, _of_runs(journal), rebuild_s)
    return await anyio.to_thread.run_sync(load)


def resume_solves(runs: RunRegistry, journal: Journal, pasts: Mapping[str, PastSolve]) -> None:
    """Go on with what can be gone on with; close the rest, with the votes that were cast."""
    unfinished, resumed = _of_runs(journal), set()
    for solve in unfinished:
        past = pasts.get(solve.solve_id)
        try:
            request = SolveRequest.model_validate(solve.request)
            if past is not None and runs.resume(past, request):
                resumed.add(solve.solve_id)
        except (ValidationError, LookupError, ValueError, VotingError) as error:
            log.warning("solve.not_resumed", solve_id=solve.solve_id, error=str(error))
    for solve in unfinished:
        if solve.solve_id not in resumed:
            past = pasts.get(solve.solve_id)
            told = past.events if past is not None else ()
            runs.close_interrupted(solve.problem_id, journal.interrupt(solve), solve.run, told)


def _of_runs(journal: Journal) -> list[UnfinishedSolve]:
    return [solve for solve in journal.unfinished() if solve.run is not None]


def _load(
    path: Path, unfinished: Iterable[UnfinishedSolve], rebuild_s: float
) -> dict[str, PastSolve]:
    pasts: dict[str, PastSolve] = {}
    try:
        with JournalReader(path) as reader:
            for solve in unfinished:
                try:
                    events = reader.events(solve_id=solve.solve_id)
                    pasts[solve.solve_id] = past_of(
                        solve.solve_id, events, created=solve.created, rebuild_s=rebuild_s
                    )
                except (JournalError, ValueError) as error:
                    # Damage to one must not end the others.
                    log.warning("solve.unread", solve_id=solve.solve_id, error=str(error))
    except JournalError as error:
        log.warning("journal.unread", error=str(error))
    return pasts
