"""A journal with three solves in it."""

from pathlib import Path

import pytest

from server.journal import Journal
from tests.server.journal.stories import options, solve_events

SOLVES = ("solve-a", "solve-b", "solve-c")


@pytest.fixture
async def told(tmp_path: Path) -> Path:
    """Return the path of a closed journal."""
    async with Journal(options(tmp_path)) as journal:
        for solve_id in SOLVES:
            for event in solve_events(solve_id, journal.next_id):
                journal.append(event)
    return tmp_path / "journal.sqlite"
