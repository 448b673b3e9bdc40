"""How long and how much is kept: the oldest solves go first, whole; one in flight never goes."""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

#: Pruning goes this far under the bound, so that it is not needed again at once.
PRUNE_TO = 0.95
DAY_S = 86_400.0
#: What a row takes beside its text and arrays: columns, its cell, its index entries. Measured.
ROW_BYTES = 110
#: A run that is open may be asked for its answers again: its solves stay.
NOT_OF_OPEN_RUN = (
    "(run_id IS NULL OR run_id NOT IN (SELECT id FROM runs WHERE finished IS NULL "
    "AND created + limit_s + 86400 > CAST(strftime('%s', 'now') AS REAL)))"
)
#: A run without a solve, which is finished.
EMPTY = "finished IS NOT NULL AND NOT EXISTS (SELECT 1 FROM solves WHERE solves.run_id = runs.id)"
#: Pages given back to the file system in one transaction: 8 MiB, about 20 ms.
VACUUM_PAGES = 2_000


@dataclass(frozen=True, slots=True)
class Retention:
    """The bounds: bytes of the file in use, seconds since the end of a solve; None is no bound."""

    most_bytes: int | None
    keep_s: float | None


@dataclass(frozen=True, slots=True)
class Prunable:
    """A solve that goes, with about the bytes that it takes."""

    solve_id: str
    created: float
    size: int
    reason: str


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return the size of the pages in use; free ones are used again before the file grows."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def has_room(connection: sqlite3.Connection, retention: Retention) -> bool:
    """Whether more may be written."""
    return retention.most_bytes is None or used_bytes(connection) < retention.most_bytes


def next_to_go(
    connection: sqlite3.Connection, retention: Retention, now: float, *, pruning: bool
) -> str | None:
    """Return the solve that is to be deleted next; None: all is within the bounds.

    Once `pruning` is under way it goes on until it is well within them.
    """
    if retention.keep_s is not None:
        row = connection.execute(
            f"SELECT id FROM solves WHERE finished < ? AND {NOT_OF_OPEN_RUN} "  # noqa: S608
            "ORDER BY created LIMIT 1",
            (now - retention.keep_s,),
        ).fetchone()
        if row:
            return str(row[0])
    if retention.most_bytes is None:
        return None
    bound = retention.most_bytes * (PRUNE_TO if pruning else 1.0)
    if used_bytes(connection) <= bound:
        return None
    row = connection.execute(
        f"SELECT id FROM solves WHERE outcome IS NOT NULL AND {NOT_OF_OPEN_RUN} "  # noqa: S608
        "ORDER BY created LIMIT 1"
    ).fetchone()
    return str(row[0]) if row else None


def plan(connection: sqlite3.Connection, retention: Retention, now: float) -> Iterator[Prunable]:
    """Yield what pruning to these bounds would delete, oldest first."""
    excess = 0.0
    if retention.most_bytes is not None:
        excess = used_bytes(connection) - retention.most_bytes
    oldest = None if retention.keep_s is None else now - retention.keep_s
    # Compared by SQLite, as in `next_to_go`, whatever damage has made of a time.
    rows = connection.execute(
        "SELECT id, created, coalesce(finished < ?, 0) FROM solves "  # noqa: S608
        f"WHERE outcome IS NOT NULL AND {NOT_OF_OPEN_RUN} ORDER BY created",
        (oldest,),
    ).fetchall()
    for solve_id, created, too_old in rows:
        if not too_old and excess <= 0:
            continue
        size = solve_bytes(connection, solve_id)
        excess -= size
        yield Prunable(solve_id, created, size, "age" if too_old else "size")


def solve_bytes(connection: sqlite3.Connection, solve_id: str) -> int:
    """Return about how many bytes of the file a solve takes."""
    rows, texts = connection.execute(
        "SELECT count(*), total(length(CAST(body AS BLOB))) FROM events WHERE solve_id = ?",
        (solve_id,),
    ).fetchone()
    segments, arrays = connection.execute(
        "SELECT count(*), total(length(ids) + coalesce(length(logprobs), 0) "
        "+ coalesce(length(confidence), 0)) FROM segments WHERE solve_id = ?",
        (solve_id,),
    ).fetchone()
    return int(texts + arrays + ROW_BYTES * (rows + segments))


def delete(connection: sqlite3.Connection, solve_id: str) -> None:
    """Delete a solve that has ended, with all that belongs to it, and its run if it was the last.

    A run that is open stays, and so do those of other solves, and those that never had any.
    """
    rows = connection.execute("SELECT run_id FROM solves WHERE id = ?", (solve_id,)).fetchall()
    connection.execute("DELETE FROM solves WHERE id = ? AND outcome IS NOT NULL", (solve_id,))
    delete_runs(connection, [run_id for (run_id,) in rows])


def empty_runs(connection: sqlite3.Connection, retention: Retention, now: float) -> list[str]:
    """Return the finished runs without a solve that are too old.

    Their callers answered all of their problems otherwise, and may want to know that for as long
    as solves are kept.
    """
    if retention.keep_s is None:
        return []
    rows = connection.execute(
        f"SELECT id FROM runs WHERE finished < ? AND {EMPTY}",  # noqa: S608
        (now - retention.keep_s,),
    )
    return [str(run_id) for (run_id,) in rows]


def delete_runs(connection: sqlite3.Connection, run_ids: Iterable[str | None]) -> None:
    """Delete those of these runs that are finished and have no solve, with their answers."""
    connection.executemany(
        f"DELETE FROM runs WHERE id = ? AND {EMPTY}",  # noqa: S608
        [(run_id,) for run_id in run_ids],
    )


def give_back(connection: sqlite3.Connection) -> Iterator[int]:
    """Return free pages to the file system, a transaction each; yield how many are left.

    A file that was made again from a dump keeps them: it is not one that can be cut bit by bit.
    """
    before = None
    while (left := _free_pages(connection)) and left != before:
        yield left
        connection.execute(f"PRAGMA incremental_vacuum({VACUUM_PAGES})").fetchall()
        before = left


def _free_pages(connection: sqlite3.Connection) -> int:
    pages: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
    return pages
