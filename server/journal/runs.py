"""Runs in the journal: one row each, written when a run is opened, finished or moved on.

And what their callers answered: one row a problem, of which the first stands.
"""

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


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """A row of `run_answers`; `server/journal/schema/3.sql` says what the columns are."""

    run_id: str
    problem_id: str
    told: float
    answer: str
    rung: str
    solve_id: str | None = None
    seconds: float | None = None
    notes: str = "[]"

    @property
    def id(self) -> str:
        """A name for the log."""
        return f"{self.run_id}/{self.problem_id}"


#: What the journal is told beside events.
Row = RunRow | AnswerRow

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

ANSWER_COLUMNS = ", ".join(field.name for field in fields(AnswerRow))
_ANSWER_PLACES = ", ".join("?" * len(fields(AnswerRow)))
# The names are this module's own.
_PUT_ANSWER = (
    f"INSERT INTO run_answers ({ANSWER_COLUMNS}) VALUES ({_ANSWER_PLACES}) "  # noqa: S608
    "ON CONFLICT (run_id, problem_id) DO NOTHING"
)


def put_runs(connection: sqlite3.Connection, rows: Iterable[RunRow]) -> None:
    """Write runs, over those of the same id."""
    connection.executemany(_PUT, map(astuple, rows))


def put_answers(connection: sqlite3.Connection, rows: Iterable[AnswerRow]) -> None:
    """Write what callers answered; what is there stays."""
    connection.executemany(_PUT_ANSWER, map(astuple, rows))
