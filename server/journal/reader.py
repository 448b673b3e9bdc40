"""Reads a journal, while a server writes it or not."""

import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from client.schema import Event
from server.journal.errors import (
    FORBIDDEN,
    JournalUnreadable,
    UnknownSolve,
    error_code,
    reading,
)
from server.journal.file import BUSY_MS
from server.journal.migrations import APPLICATION_ID, schema_version, scripts
from server.journal.rows import EventRow, SegmentRow, sound_body, sound_event, text_of
from server.journal.runs import (
    ANSWER_COLUMNS,
    RUN_COLUMNS,
    RUNS_DONE,
    RUNS_LISTED,
    AnswerRow,
    RunRow,
)
from server.journal.sound import encodable, sound
from server.journal.tokens import PIECES, AttemptTokens, StoredSegment, join, to_segments

#: More plans than attempts there never are.
MOST_PLANS = 256
#: Events fetched at a time: a page with tokens takes a few MB.
PAGE = 1_000
#: A listing has at most this many solves where nothing else is asked.
LIST_LIMIT = 1_000
#: Sorts after every character of an id.
LAST_CHARACTER = "\U0010ffff"


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveFilter:
    """Which solves to list; None leaves it open. Times are in seconds since 1970.

    `outcome` is a `SolveEnd`, or "" for those without a result, and `finished` whether there is
    one; `text` is looked for in the problem, whatever its case. `before` are `created` and `id` of
    the last solve of the page before.
    """

    since: float | None = None
    until: float | None = None
    run: str | None = None
    problem_id: str | None = None
    answer: str | None = None
    outcome: str | None = None
    text: str | None = None
    finished: bool | None = None
    before: tuple[float, str] | None = None
    limit: int = LIST_LIMIT


@dataclass(frozen=True, slots=True)
class StoredSolve:
    """A row of `solves`; `server/journal/schema` says what the columns are."""

    id: str
    created: float
    finished: float | None
    problem_id: str | None
    problem: str | None
    answer_kind: str | None
    strategy: str | None
    model: str | None
    dialect: str | None
    seed: int | None
    attempts: int | None
    outcome: str | None
    answer: str | None
    detail: str | None
    prompt: int | None
    sampled: int | None
    appended: int | None
    seconds: float | None
    run_id: str | None


@dataclass(frozen=True, slots=True)
class StoredAttempt:
    """A row of `attempts`."""

    solve_id: str
    attempt: int
    seed: int | None
    temperature: float | None
    top_p: float | None
    min_p: float | None
    parent: int | None
    parent_tokens: int | None
    outcome: str | None
    detail: str | None
    answer: str | None
    weight: float | None
    turns: int | None
    tool_calls: int | None
    tool_errors: int | None
    prompt: int | None
    sampled: int | None
    appended: int | None
    seconds: float | None
    engine_losses: int | None
    token_exact: int | None
    lost_tokens: int


SOLVE_COLUMNS = ", ".join(field.name for field in fields(StoredSolve))
ATTEMPT_COLUMNS = ", ".join(field.name for field in fields(StoredAttempt))
#: The condition that a problem has the folded text in it.
CONTAINS = "contains(CAST(problem AS BLOB), ?)"
EVENTS = (
    "SELECT e.id, e.solve_id, e.attempt, e.type, e.at, e.recorded, e.body, s.event_id, s.solve_id, "
    "s.attempt, s.turn, s.kind, s.start, s.count, s.ids, s.logprobs, s.confidence "
    "FROM events AS e LEFT JOIN segments AS s ON s.event_id = e.id "
    "WHERE e.id > ? {of_solve} ORDER BY e.id LIMIT ?"
)


class JournalReader:
    """A read-only connection, safe to use from several threads; a context manager.

    Every method raises `JournalUnreadable` where the file is damaged or gone.
    """

    def __init__(self, path: Path) -> None:
        """Open a journal.

        Raises:
            JournalUnreadable: there is none, or it is newer than this program or not a journal.
        """
        self.path = path
        self._lock = threading.RLock()
        # `Path.is_file` raises where a folder on the way may not be looked into.
        if not os.path.isfile(path):  # noqa: PTH113
            raise JournalUnreadable(
                f"journal {path}: there is no such file that you may read; solve a problem first, "
                "or name another one with --journal"
            )
        with reading(path):
            try:
                self.connection = self._opened("mode=ro")
            except sqlite3.OperationalError as error:
                if error_code(error) not in FORBIDDEN or not _is_whole(path):
                    raise
                # SQLite reads beside files of its own, which a folder that cannot be written has
                # no room for: a data set of Kaggle's, a snapshot. Nobody writes it there either.
                self.connection = self._opened("immutable=1")

    def _opened(self, way: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?{way}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.text_factory = text_of
        # LIKE takes only ASCII letters in either case, and ends at a NUL.
        connection.create_function("contains", 2, _contains, deterministic=True)
        try:
            self._check(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise JournalUnreadable(
                f"journal {self.path}: it is another program's database; name a journal with "
                "--journal"
            )
        version = schema_version(connection)
        if version != len(scripts()):
            raise JournalUnreadable(
                f"journal {self.path}: its schema is version {version}, and this program reads "
                f"version {len(scripts())}; "
                + ("update Quorum" if version > len(scripts()) else "start the server once")
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """See one state of the journal for the length of the block, whatever is written meanwhile.

        The writer's log cannot be cut as long as it lasts. Other threads wait for its end.
        """
        with self._lock:
            with reading(self.path):
                self.connection.execute("BEGIN")
            try:
                yield
            finally:
                self.connection.execute("ROLLBACK")

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return the rows of a query."""
        # Two queries at once would share the older one's view of the journal.
        with self._lock, reading(self.path):
            return self.connection.execute(sql, [*map(encodable, values)]).fetchall()

    def solves(self, wanted: SolveFilter | None = None) -> list[StoredSolve]:
        """Return the solves that a filter lets through, newest first."""
        where, values = _conditions(wanted or SolveFilter())
        rows = self.query(
            f"SELECT {SOLVE_COLUMNS} FROM solves {where} "  # noqa: S608
            "ORDER BY created DESC, id DESC LIMIT ?",
            values,
        )
        return [sound(StoredSolve, row) for row in rows]

    def solve(self, name: str) -> StoredSolve:
        """Return a solve by its id, or by a beginning of it that no other has.

        Raises:
            UnknownSolve: there is none, or there are several.
        """
        exact = self.find(name)
        if exact is not None:
            return exact
        # A range of the primary key: the end is past all that begin so.
        rows = self.query(
            f"SELECT {SOLVE_COLUMNS} FROM solves WHERE id > ?1 AND id < ?1 || ?2 LIMIT 2",  # noqa: S608
            (name, LAST_CHARACTER),
        )
        if len(rows) != 1:
            found = "begins several ids" if rows else "is not recorded"
            raise UnknownSolve(f"solve {name!r}: {found}; `quorum journal ls` shows them")
        return sound(StoredSolve, rows[0])

    def find(self, solve_id: str) -> StoredSolve | None:
        """Return the solve of an id; None where it is not recorded."""
        rows = self.query(
            f"SELECT {SOLVE_COLUMNS} FROM solves WHERE id = ?",  # noqa: S608
            (solve_id,),
        )
        return sound(StoredSolve, rows[0]) if rows else None

    def runs(
        self, limit: int = RUNS_LISTED, before: tuple[float, str] | None = None
    ) -> list[RunRow]:
        """Return runs, the newest first; `before` are `created` and `id` of the page before."""
        where = "" if before is None else "WHERE (created, id) < (?, ?)"
        rows = self.query(
            f"SELECT {RUN_COLUMNS} FROM runs {where} "  # noqa: S608
            "ORDER BY created DESC, id DESC LIMIT ?",
            (*(before or ()), limit),
        )
        return [RunRow(*row) for row in rows]

    def runs_done(self) -> Counter[str]:
        """Return how many problems of each run have a result."""
        return Counter(dict(self.query(RUNS_DONE)))

    def run(self, run_id: str) -> RunRow | None:
        """Return a run, None where there is none of that id."""
        rows = self.query(f"SELECT {RUN_COLUMNS} FROM runs WHERE id = ?", (run_id,))  # noqa: S608
        return RunRow(*rows[0]) if rows else None

    def run_answers(self, run_id: str) -> list[AnswerRow]:
        """Return what the caller of a run answered, in the order in which it was told."""
        rows = self.query(
            f"SELECT {ANSWER_COLUMNS} FROM run_answers "  # noqa: S608
            "WHERE run_id = ? ORDER BY told, problem_id",
            (run_id,),
        )
        return [AnswerRow(*row) for row in rows]

    def attempts(self, solve_id: str, *, plans: bool = False) -> list[StoredAttempt]:
        """Return the attempts of a solve, by index; with `plans` those too, from below 0."""
        rows = self.query(
            f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE solve_id = ? AND attempt >= ? "  # noqa: S608
            "ORDER BY attempt",
            (solve_id, -MOST_PLANS if plans else 0),
        )
        return [sound(StoredAttempt, row) for row in rows]

    def writer(self, solve_id: str, attempt: int) -> dict[str, str]:
        """Return `engine`, `model` and `dialect` of a plan; what is not known is empty."""
        rows = self.query(
            "SELECT body FROM events WHERE solve_id = ? AND attempt = ? "
            "AND type = 'attempt.started' ORDER BY id LIMIT 1",
            (solve_id, attempt),
        )
        body = sound_body(rows[0][0]) if rows else {}
        return {name: str(body.get(name, "")) for name in ("engine", "model", "dialect")}

    def segments(self, solve_id: str, attempt: int) -> list[StoredSegment]:
        """Return an attempt's segments, as its `TokenRecord` had them; up to the first gap."""
        return to_segments(self.query(PIECES, (solve_id, attempt)))[0]

    def tokens(self, solve_id: str, attempt: int) -> AttemptTokens:
        """Return an attempt's whole token list."""
        segments, joined = to_segments(self.query(PIECES, (solve_id, attempt)))
        return join(segments, complete=joined)

    def events(self, after: int = 0, solve_id: str | None = None) -> Iterator[Event]:
        """Yield the events with an id above `after`, of one solve or of all, in order.

        Those that this program does not know are left out, as clients do, and those that are
        damaged.
        """
        for row, segment in self.rows(after, solve_id):
            event = sound_event(row, segment)
            if event is not None:
                yield event

    def rows(
        self, after: int = 0, solve_id: str | None = None
    ) -> Iterator[tuple[EventRow, SegmentRow | None]]:
        """Yield the same as it is stored."""
        sql = EVENTS.format(of_solve="AND e.solve_id = ?" if solve_id is not None else "")
        of_solve: tuple[Any, ...] = (solve_id,) if solve_id is not None else ()
        while True:
            page = self.query(sql, (after, *of_solve, PAGE))
            for row in page:
                segment = SegmentRow(*row[7:]) if row[7] is not None else None
                yield EventRow(*row[:7]), segment
            if len(page) < PAGE:
                return
            after = page[-1][0]


def _is_whole(path: Path) -> bool:
    """Whether nothing of a journal is in a log beside it, which a server leaves that was killed."""
    try:
        return os.stat(f"{path}-wal").st_size == 0  # noqa: PTH116 - the name is not a suffix
    except OSError as error:
        return isinstance(error, FileNotFoundError)


def _conditions(wanted: SolveFilter) -> tuple[str, list[Any]]:
    """Return the WHERE clause of a filter, and its values with the limit."""
    tests: list[tuple[str, Any]] = [
        ("created >= ?", wanted.since),
        ("created < ?", wanted.until),
        ("run_id = ?", wanted.run),
        ("problem_id = ?", wanted.problem_id),
        ("answer = ?", wanted.answer),
        ("coalesce(outcome, '') = ?", wanted.outcome),
        (CONTAINS, folded(wanted.text)),
        ("(outcome IS NOT NULL) = ?", wanted.finished),
    ]
    given = [(sql, value) for sql, value in tests if value is not None]
    values = [value for _, value in given]
    if wanted.before is not None:
        given.append(("(created, id) < (?, ?)", wanted.before))
        values += wanted.before
    where = " AND ".join(sql for sql, _ in given)
    return f"WHERE {where}" if where else "", [*values, wanted.limit]


def folded(text: str | None) -> str | None:
    """Return a text that is looked for, in any case; None where none is."""
    return None if text is None else text.casefold()


def _contains(stored: bytes | None, wanted: str) -> bool:
    """Whether a problem has a folded text in it; as bytes, which damage can have made no UTF-8."""
    return stored is not None and wanted in text_of(stored).casefold()
