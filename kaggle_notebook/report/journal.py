"""What the server's journal tells of a run. Its tables and views are its interface.

Read without the server's code: the report is made where the bundle may not be installed. Whatever
cannot be read is left out.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from kaggle_notebook.report.data import AttemptLine, Votes

FILE = "journal.sqlite"
#: A ballot's lines that are told: those below have lost.
MOST_VOTES = 6
#: Attempts of a problem that are told.
MOST_ATTEMPTS = 64
_TIMEOUT_S = 5.0
_ATTEMPTS = (
    "SELECT attempt, answer, outcome, weight, turns, sampled, tool_calls, tool_errors, seconds, "
    "engine_losses, detail FROM attempts WHERE solve_id = ? AND attempt >= 0 "
    "ORDER BY attempt LIMIT ?"
)
_BALLOT = "SELECT lines FROM ballots WHERE solve_id = ? ORDER BY id DESC LIMIT 1"
_RESULT = (
    "SELECT json_extract(body, '$.result') FROM events "
    "WHERE solve_id = ? AND type = 'solve.finished' ORDER BY id DESC LIMIT 1"
)
_RUNGS = "SELECT problem_id, rung FROM run_answers WHERE run_id = ?"
_CELLS = (
    "SELECT json_extract(body, '$.status'), json_extract(body, '$.state_lost'), count(*) "
    "FROM events WHERE solve_id = ? AND type = 'attempt.result' GROUP BY 1, 2"
)


class RunJournal:
    """A journal, open for reading; every method answers with nothing where it cannot be read."""

    def __init__(self, connection: sqlite3.Connection | None) -> None:
        self._connection = connection

    def attempts(self, solve: str) -> tuple[AttemptLine, ...]:
        """Return a solve's attempts."""
        return tuple(
            AttemptLine(
                attempt=int(row[0]),
                answer=None if row[1] is None else str(row[1]),
                end=str(row[2] or "cut off"),
                weight=float(row[3] or 0),
                turns=int(row[4] or 0),
                tokens=int(row[5] or 0),
                tool_calls=int(row[6] or 0),
                tool_errors=int(row[7] or 0),
                seconds=float(row[8] or 0),
                engine_losses=int(row[9] or 0),
                detail=str(row[10] or ""),
            )
            for row in self._rows(_ATTEMPTS, solve, MOST_ATTEMPTS)
        )

    def votes(self, solve: str) -> tuple[Votes, ...]:
        """Return a solve's last ballot, the heaviest answer first."""
        lines = self.result(solve).get("ballot") or []
        if not lines:
            lines = next((_decoded(row[0]) for row in self._rows(_BALLOT, solve)), [])
        found = []
        for line in lines if isinstance(lines, list) else []:
            try:
                found.append(Votes(str(line["answer"]), int(line["votes"]), float(line["weight"])))
            except (KeyError, TypeError, ValueError):
                continue
        return tuple(found[:MOST_VOTES])

    def result(self, solve: str) -> dict[str, Any]:
        """Return the answer object that a solve ended with, empty where there is none."""
        value = next((_decoded(row[0]) for row in self._rows(_RESULT, solve)), None)
        return value if isinstance(value, dict) else {}

    def rungs(self, run: str) -> dict[str, str]:
        """Return the rungs that the server was told, by problem."""
        return {str(problem): str(rung) for problem, rung in self._rows(_RUNGS, run)}

    def cells(self, solves: Iterable[str]) -> tuple[dict[str, int], int]:
        """Return how many tool calls of the solves ended in which status, and lost their kernel."""
        counts: dict[str, int] = {}
        lost = 0
        for solve in solves:
            for status, state_lost, number in self._rows(_CELLS, solve):
                counts[str(status)] = counts.get(str(status), 0) + int(number)
                lost += int(number) if state_lost else 0
        return counts, lost

    def _rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        if self._connection is None or not values[0]:
            return []
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error:
            return []


@contextmanager
def open_journal(path: Path) -> Iterator[RunJournal]:
    """Open a journal for reading, while a server writes it or not."""
    if not path.is_file():
        yield RunJournal(None)
        return
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_TIMEOUT_S
        )
    except sqlite3.Error:
        yield RunJournal(None)
        return
    with closing(connection):
        yield RunJournal(connection)


def _decoded(text: object) -> Any:  # noqa: ANN401 - whatever the journal holds
    try:
        return json.loads(str(text))
    except (ValueError, RecursionError):
        return None
