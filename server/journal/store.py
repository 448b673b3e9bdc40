"""Writes a batch of events in one transaction."""

import sqlite3
from collections.abc import Sequence

import structlog

from client.schema import AttemptSegment
from server.journal.bulk import Entry
from server.journal.derived import TELLING, add_solves, statement
from server.journal.rows import EventRow, SegmentRow, event_row, segment_row
from server.journal.runs import AnswerRow, RunRow, put_answers, put_runs
from server.journal.transaction import transaction

log = structlog.get_logger(__name__)

ADD_EVENT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)"
ADD_SEGMENT = "INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
#: What an event or a row that is not as it should be raises: a defect of whoever made it.
UNFIT = (ValueError, OverflowError, TypeError, sqlite3.IntegrityError, sqlite3.DataError)


def store(connection: sqlite3.Connection, entries: Sequence[Entry]) -> int:
    """Write all events, or none; return how many are unfit and were left out.

    Raises:
        sqlite3.Error: nothing was written; damage, a full disk and a lock among others.
    """
    try:
        _in_transaction(connection, entries)
    except UNFIT:
        return _store_singly(connection, entries)
    return 0


def _store_singly(connection: sqlite3.Connection, entries: Sequence[Entry]) -> int:
    """Write what can be written: one bad event must not hold up the rest."""
    unfit = 0
    for entry in entries:
        try:
            _in_transaction(connection, [entry])
        except UNFIT as error:
            unfit += 1
            log.error(
                "journal.unfit_event",
                id=entry.event.id,
                type=type(entry.event).__name__,
                error=str(error),
            )
    return unfit


def _in_transaction(connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
    events: list[EventRow] = []
    segments: list[SegmentRow] = []
    solves: dict[str, float] = {}
    runs: list[RunRow] = []
    answers: list[AnswerRow] = []
    for entry in entries:
        if isinstance(entry.event, RunRow):
            runs.append(entry.event)
            continue
        if isinstance(entry.event, AnswerRow):
            answers.append(entry.event)
            continue
        events.append(event_row(entry.event, entry.recorded))
        solves.setdefault(entry.event.solve_id, entry.recorded)
        if isinstance(entry.event, AttemptSegment):
            segments.append(segment_row(entry.event))
    with transaction(connection):
        put_runs(connection, runs)
        put_answers(connection, answers)
        add_solves(connection, solves.items())
        connection.executemany(ADD_EVENT, events)
        connection.executemany(ADD_SEGMENT, segments)
        for entry in entries:
            if isinstance(entry.event, TELLING):
                connection.execute(*statement(entry.event, entry.recorded))
