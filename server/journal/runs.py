"""Runs in the journal: one row each, written when a run is opened, finished or moved on."""

import sqlite3
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields

#: Runs that a listing shows where nothing else is asked.
RUNS_LISTED = 100


@dataclass(frozen=True, slots=True)
class RunRow:
    """A row of `runs`; `server/journal/schema/2.sql` says what the columns are."""

    id: str
    created: float
    name: str | None
    problems: int
    limit_s: float
    budget: str
    request: str
    elapsed_s: float
    boot: str
    boot_s: float
    wall: float
    finished: float | None = None
    ended_s: float | None = None
    reason: str | None = None


RUNS_DONE = (
    "SELECT run_id, count(DISTINCT problem_id) FROM solves "
    "WHERE run_id IS NOT NULL AND outcome IS NOT NULL GROUP BY run_id"
)
RUN_COLUMNS = ", ".join(field.name for field in fields(RunRow))
_PLACES = ", ".join("?" * len(fields(RunRow)))
_CHANGES = ", ".join(f"{field.name} = excluded.{field.name}" for field in fields(RunRow)[1:])
# The names are this module's own.
_PUT = (
    f"INSERT INTO runs ({RUN_COLUMNS}) VALUES ({_PLACES}) "  # noqa: S608
    f"ON CONFLICT (id) DO UPDATE SET {_CHANGES}"
)


def put_runs(connection: sqlite3.Connection, rows: Iterable[RunRow]) -> None:
    """Write runs, over those of the same id."""
    connection.executemany(_PUT, map(astuple, rows))
