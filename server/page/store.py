"""What the page reads from the journal, by queries of its own where the reader has none."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import Any

from client.schema import Event
from server.journal.reader import (
    CONTAINS,
    SOLVE_COLUMNS,
    JournalReader,
    StoredSolve,
    folded,
)
from server.journal.rows import (
    EventRow,
    Float16s,
    Ids,
    sound_event,
    unpack_float16s,
    unpack_ids,
)

#: Solves on a page of the history.
PAGE_ROWS = 50
#: The newest events of each attempt that a lane is made of: half a minute of text.
LANE_EVENTS = 300
NO_SEGMENTS = "solve_id = ? AND type <> 'attempt.segment'"
EVENT_COLUMNS = "id, solve_id, attempt, type, at, recorded, body"
#: One pass over the solve's events by their index; the bodies of the newest alone are read.
TAIL = f"""
WITH numbered AS (
    SELECT id, attempt, row_number() OVER (PARTITION BY attempt ORDER BY id DESC) AS back
    FROM events WHERE {NO_SEGMENTS}
)
SELECT {", ".join(f"e.{name}" for name in EVENT_COLUMNS.split(", "))}
FROM numbered AS n JOIN events AS e ON e.id = n.id
WHERE n.back <= ? OR n.attempt IS NULL ORDER BY e.id
"""  # noqa: S608 - constants
OF_ATTEMPT = f"""
SELECT {EVENT_COLUMNS} FROM events WHERE {NO_SEGMENTS} AND attempt = ? ORDER BY id
"""  # noqa: S608 - constants
PIECES = (
    "SELECT kind, turn, start, count, ids, logprobs, confidence FROM segments "
    "WHERE solve_id = ? AND attempt = ? AND start < ? AND start + count > ? "
    "ORDER BY start, event_id"
)
SCORES = (
    "SELECT logprobs, confidence FROM segments "
    "WHERE solve_id = ? AND attempt = ? AND kind = 'sampled' ORDER BY start, event_id"
)
MOST_TOKENS = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFilter:
    """Which solves the history shows; None leaves it open.

    `source` is the beginning of the problem's name, `run` the run's id. `outcome` is a `SolveEnd`,
    or "" for those without a result. `least` and `most` bound the sampled tokens of the solve.
    `errors`: only those with a failed attempt or a tool call that raised. `before` is the time of
    the last row before; it and `since` are in seconds since 1970.
    """

    text: str | None = None
    answer: str | None = None
    source: str | None = None
    run: str | None = None
    outcome: str | None = None
    least: int | None = None
    most: int | None = None
    errors: bool = False
    since: float | None = None
    before: float | None = None
    problem_id: str | None = None


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A solve in the history; `tool_errors` and `failed` are summed over its attempts."""

    solve: StoredSolve
    attempts: int
    tool_errors: int
    failed: int


@dataclass(frozen=True, slots=True)
class TokenPiece:
    """Tokens `start` ... of an attempt's list, of one kind and turn; arrays of shape (count,)."""

    kind: str
    turn: int
    start: int
    ids: Ids
    logprobs: Float16s | None
    confidence: Float16s | None


@dataclass(frozen=True, slots=True)
class Scores:
    """What the engine told of an attempt's sampled tokens, in order; each as long as it was told.

    Within them NaN is in the place of one that it did not tell.
    """

    logprobs: Float16s
    confidence: Float16s


#: Ends of attempts that are failures and not results.
FAILURES = ("engine_lost", "engine_error", "sandbox_error", "failed", "repetition")
FAILED = "outcome IN ({})".format(", ".join(f"'{end}'" for end in FAILURES))
HISTORY = f"""
SELECT {SOLVE_COLUMNS},
    (SELECT count(*) FROM attempts AS a WHERE a.solve_id = solves.id AND a.attempt >= 0),
    (SELECT coalesce(sum(tool_errors), 0) FROM attempts AS a WHERE a.solve_id = solves.id),
    (SELECT count(*) FROM attempts AS a WHERE a.solve_id = solves.id AND a.{FAILED})
FROM solves {{where}} ORDER BY created DESC LIMIT ?
"""  # noqa: S608 - constants


def history(
    reader: JournalReader, wanted: HistoryFilter, most: int = PAGE_ROWS
) -> tuple[list[HistoryRow], bool]:
    """Return a page of at most so many solves, newest first, and whether there are more."""
    tests: list[tuple[str, Any]] = [
        (CONTAINS, folded(wanted.text)),
        ("answer = ?", wanted.answer),
        ("problem_id LIKE ? ESCAPE '\\'", _beginning(wanted.source)),
        ("run_id = ?", wanted.run),
        ("coalesce(outcome, '') = ?", wanted.outcome),
        ("sampled >= ?", wanted.least),
        ("sampled <= ?", wanted.most),
        ("created >= ?", wanted.since),
        ("created < ?", wanted.before),
        ("problem_id = ?", wanted.problem_id),
    ]
    given = [(sql, value) for sql, value in tests if value is not None]
    conditions = [sql for sql, _ in given]
    if wanted.errors:
        conditions.append(
            "EXISTS (SELECT 1 FROM attempts AS a WHERE a.solve_id = solves.id "  # noqa: S608
            f"AND (a.tool_errors > 0 OR a.{FAILED}))"
        )
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    values = [*(value for _, value in given), most + 1]
    rows = reader.query(HISTORY.format(where=where), values)
    width = len(fields(StoredSolve))
    found = [HistoryRow(StoredSolve(*row[:width]), *row[width:]) for row in rows]
    return found[:most], len(found) > most


def _beginning(text: str | None) -> str | None:
    """Return the pattern of what begins so; None where nothing is asked."""
    if text is None:
        return None
    for special in ("\\", "%", "_"):
        text = text.replace(special, f"\\{special}")
    return f"{text}%"


def tail_events(reader: JournalReader, solve_id: str) -> list[Event]:
    """Return the events of a whole solve, and the newest of each attempt, without the tokens."""
    return list(_events(reader.query(TAIL, (solve_id, LANE_EVENTS))))


def attempt_events(reader: JournalReader, solve_id: str, attempt: int) -> Iterator[Event]:
    """Yield the events of one attempt, without its tokens."""
    return _events(reader.query(OF_ATTEMPT, (solve_id, attempt)))


def _events(rows: Sequence[Any]) -> Iterator[Event]:
    for row in rows:
        event = sound_event(EventRow(*row))
        if event is not None:
            yield event


def token_pieces(
    reader: JournalReader, solve_id: str, attempt: int, start: int = 0, stop: int = MOST_TOKENS
) -> list[TokenPiece]:
    """Return the stored pieces that overlap positions `start` to `stop`, whole."""
    rows = reader.query(PIECES, (solve_id, attempt, stop, start))
    return [
        TokenPiece(kind, turn, at, unpack_ids(ids), _numbers(logprobs), _numbers(confidence))
        for kind, turn, at, _, ids, logprobs, confidence in rows
    ]


def scores(reader: JournalReader, solve_id: str, attempt: int) -> Scores:
    """Return the scores of an attempt; a long one has thousands of segments, which this joins."""
    rows = reader.query(SCORES, (solve_id, attempt))
    logprobs, confidence = (b"".join(row[column] or b"" for row in rows) for column in (0, 1))
    return Scores(unpack_float16s(logprobs), unpack_float16s(confidence))


def token_count(reader: JournalReader, solve_id: str, attempt: int) -> int:
    """Return how long an attempt's list is."""
    sql = "SELECT max(start + count) FROM segments WHERE solve_id = ? AND attempt = ?"
    count: int | None = reader.query(sql, (solve_id, attempt))[0][0]
    return count or 0


def marks(reader: JournalReader, solve_id: str, attempt: int) -> list[tuple[int, int]]:
    """Return, for each sampled piece, how many were sampled before it, and where it begins."""
    rows = reader.query(
        "SELECT start, count FROM segments WHERE solve_id = ? AND attempt = ? "
        "AND kind = 'sampled' ORDER BY start",
        (solve_id, attempt),
    )
    counts = accumulate((count for _, count in rows), initial=0)
    return [(before, start) for before, (start, _) in zip(counts, rows, strict=False)]


def _numbers(packed: bytes | None) -> Float16s | None:
    return None if packed is None else unpack_float16s(packed)
