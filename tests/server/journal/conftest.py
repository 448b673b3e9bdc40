"""A journal with three solves in it."""

from pathlib import Path

import anyio
import pytest

from server.journal.journal import Journal
from tests.server.journal.stories import options, solve_events

SOLVES = ("solve-a", "solve-b", "solve-c")


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """Return the path of a closed journal."""
    anyio.run(_tell, tmp_path)
    return tmp_path / "journal.sqlite"


async def _tell(folder: Path) -> None:
    async with Journal(options(folder)) as journal:
        for solve_id in SOLVES:
            for event in solve_events(solve_id, journal.next_id):
                journal.append(event)
