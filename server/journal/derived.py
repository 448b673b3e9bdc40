"""The rows of `solves` and `attempts`: made from the events, as they come or all over again."""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from client.schema import (
    AttemptFinished,
    AttemptGap,
    AttemptStarted,
    Event,
    SolveFinished,
    SolveRequested,
    SolveStarted,
)
from server.journal.rows import EventRow, sound_event
from server.journal.transaction import transaction

#: The events that say something about these rows.
TELLING = (
    SolveRequested, SolveStarted, SolveFinished, AttemptStarted, AttemptFinished, AttemptGap,
)  # fmt: skip
Telling = (
    SolveRequested | SolveStarted | SolveFinished | AttemptStarted | AttemptFinished | AttemptGap
)
TELLING_TYPES = tuple(str(event.model_fields["type"].default) for event in TELLING)

#: What `rebuild` empties before it reads the events.
SOLVE_COLUMNS = (
    "run_id", "finished", "problem_id", "problem", "answer_kind", "strategy", "model", "dialect",
    "seed", "attempts", "outcome", "answer", "detail", "prompt", "sampled", "appended", "seconds",
)  # fmt: skip


class Statement(NamedTuple):
    """An SQL statement and its values."""

    sql: str
    values: dict[str, Any]


def statement(event: Telling, recorded: float) -> Statement:
    """Return what an event changes in the rows."""
    match event:
        case SolveRequested() | SolveStarted() | SolveFinished():
            return _solve(event, _solve_values(event, recorded))
        case AttemptStarted() | AttemptFinished():
            return _attempt(event, _attempt_values(event))
        case AttemptGap():
            return Statement(ADD_GAP, event.model_dump(include={"solve_id", "attempt", "tokens"}))


ADD_GAP = (
    "INSERT INTO attempts (solve_id, attempt, lost_tokens) VALUES (:solve_id, :attempt, :tokens) "
    "ON CONFLICT DO UPDATE SET lost_tokens = lost_tokens + :tokens"
)
REQUESTED = ("problem", "problem_id", "answer_kind", "strategy", "seed", "attempts")
STARTED = {*REQUESTED, "model", "dialect"}
BEGUN = {"seed", "temperature", "top_p", "min_p", "parent", "parent_tokens"}


def _solve_values(
    event: SolveRequested | SolveStarted | SolveFinished, recorded: float
) -> dict[str, Any]:
    match event:
        case SolveRequested():
            values = {name: event.request.get(name) for name in REQUESTED}
            return {**values, "run_id": event.request.get("run")}
        case SolveStarted():
            return event.model_dump(mode="json", include=STARTED)
        case SolveFinished():
            values = event.result.model_dump(include={"answer", "detail", "seconds"})
            values |= event.result.tokens.model_dump()
            return {**values, "outcome": event.result.end.value, "finished": recorded}


def _attempt_values(event: AttemptStarted | AttemptFinished) -> dict[str, Any]:
    if isinstance(event, AttemptStarted):
        return event.model_dump(include=BEGUN)
    values = event.report.model_dump(mode="json", exclude={"attempt", "tokens", "end"})
    return {**values, **event.report.tokens.model_dump(), "outcome": event.report.end.value}


def _solve(event: Event, values: dict[str, Any]) -> Statement:
    changes = ", ".join(f"{name} = :{name}" for name in values)
    # The names are this module's own.
    sql = f"UPDATE solves SET {changes} WHERE id = :solve_id"  # noqa: S608
    return Statement(sql, {"solve_id": event.solve_id, **values})


def _attempt(event: AttemptStarted | AttemptFinished, values: dict[str, Any]) -> Statement:
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    changes = ", ".join(f"{name} = :{name}" for name in values)
    sql = (
        f"INSERT INTO attempts (solve_id, attempt, {names}) "  # noqa: S608
        f"VALUES (:solve_id, :attempt, {places}) ON CONFLICT DO UPDATE SET {changes}"
    )
    return Statement(sql, {"solve_id": event.solve_id, "attempt": event.attempt, **values})


def add_solves(connection: sqlite3.Connection, seen: Iterable[tuple[str, float]]) -> None:
    """See that there is a row for each solve; `seen` has ids with the time of an event."""
    connection.executemany(
        "INSERT INTO solves (id, created) VALUES (?, ?) ON CONFLICT DO NOTHING", seen
    )


def rebuild(connection: sqlite3.Connection) -> int:
    """Make all rows again from the events, in one transaction; return the number of solves.

    Events that are damaged are left out.

    Raises:
        sqlite3.Error: nothing is changed.
    """
    with transaction(connection):
        connection.execute("DELETE FROM attempts")
        blank = ", ".join(f"{name} = NULL" for name in SOLVE_COLUMNS)
        connection.execute(f"UPDATE solves SET {blank}")  # noqa: S608 - our own names
        add_solves(
            connection,
            connection.execute("SELECT solve_id, min(recorded) FROM events GROUP BY solve_id"),
        )
        for event, recorded in _telling(connection):
            connection.execute(*statement(event, recorded))
        solves: int = connection.execute("SELECT count(*) FROM solves").fetchone()[0]
    return solves


def _telling(connection: sqlite3.Connection) -> Iterator[tuple[Telling, float]]:
    places = ", ".join("?" * len(TELLING_TYPES))
    rows = connection.execute(
        "SELECT id, solve_id, attempt, type, at, recorded, body FROM events "  # noqa: S608
        f"WHERE type IN ({places}) ORDER BY id",
        TELLING_TYPES,
    )
    for row in rows:
        event = sound_event(EventRow(*row))
        if isinstance(event, TELLING):
            yield event, row[5]
