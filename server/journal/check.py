"""Checks a journal: its pages, its events, and that every attempt's tokens are all there."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from server.journal.errors import JournalDamaged, reading
from server.journal.reader import JournalReader
from server.journal.rows import to_event

#: The subject of what SQLite itself finds wrong with its file.
PAGES = "pages"
#: Malformed pages that are told one by one.
MOST_PAGES = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be; `subject` says where."""

    subject: str
    detail: str


class Piece(NamedTuple):
    """A segment without its arrays."""

    solve_id: str
    attempt: int
    kind: str
    start: int
    length: int


def check(reader: JournalReader) -> Iterator[Finding]:
    """Yield what is wrong with a journal; nothing where all is well.

    What damage keeps from being read is a finding too, and the rest is looked at all the same.

    Raises:
        JournalUnreadable: it cannot be read now.
    """
    yield from _up_to_damage(PAGES, _pages(reader))
    yield from _up_to_damage("links between tables", _orphans(reader))
    with reader.snapshot():
        yield from _up_to_damage("events", _events(reader))
        yield from _up_to_damage("listing", _derived(reader))
        yield from _up_to_damage("tokens", _segments(reader))


def _up_to_damage(part: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from findings
    except JournalDamaged as error:
        yield Finding(part, f"cannot be read to the end: {error.__cause__}")


def _pages(reader: JournalReader) -> Iterator[Finding]:
    try:
        rows = reader.query(f"PRAGMA integrity_check({MOST_PAGES})")
    except JournalDamaged:
        # Python loses the row before an error: the one that names the pages.
        rows = reader.query("SELECT * FROM pragma_integrity_check(?) LIMIT 1", (MOST_PAGES,))
    lines = (line for (told,) in rows for line in told.splitlines())
    yield from (Finding(PAGES, line) for line in lines if line != "ok" and line[:3] != "***")


def _orphans(reader: JournalReader) -> Iterator[Finding]:
    orphans = reader.query("PRAGMA foreign_key_check")
    yield from (Finding(f"{table} {row}", f"belongs to no {of}") for table, row, of, _ in orphans)


def _events(reader: JournalReader) -> Iterator[Finding]:
    for row, segment in reader.rows():
        if row.type == "attempt.segment" and segment is None:
            yield Finding(f"event {row.id}", "its token arrays are missing")
            continue
        try:
            to_event(row, segment)
        except (ValueError, TypeError) as error:
            yield Finding(f"event {row.id}", f"is not a {row.type}: {error}")


def _derived(reader: JournalReader) -> Iterator[Finding]:
    """Look for solves whose result is among the events but not in the listing."""
    rows = reader.query(
        "SELECT DISTINCT s.id FROM solves AS s JOIN events AS e ON e.solve_id = s.id "
        "WHERE e.type = 'solve.finished' AND s.outcome IS NULL"
    )
    for (solve_id,) in rows:
        yield Finding(solve_id, "has a result that the listing lacks; run with --rebuild")


def _segments(reader: JournalReader) -> Iterator[Finding]:
    """Look for attempts whose segments overlap, leave gaps, or are not what the report counts."""
    reported = _reported(reader)
    with reading(reader.path):
        rows = reader.connection.execute(
            # Numbers whatever damage has made of them.
            "SELECT solve_id, attempt, kind, coalesce(CAST(start AS INTEGER), 0), "
            "coalesce(CAST(count AS INTEGER), 0) FROM segments "
            "ORDER BY solve_id, attempt, start, event_id"
        )
        pieces = (Piece(*row) for row in rows)
        for key, group in groupby(pieces, key=lambda piece: (piece.solve_id, piece.attempt)):
            counts = reported.pop(key, None)
            lost = counts.lost if counts else 0
            for detail in _faults(list(group), counts):
                # What the journal said that it left out is no fault.
                if not lost:
                    yield Finding(f"{key[0]} attempt {key[1]}", detail)
    for (solve_id, attempt), counts in reported.items():
        if counts.told and counts.prompt + counts.sampled + counts.appended and not counts.lost:
            yield Finding(f"{solve_id} attempt {attempt}", "none of its tokens are here")


class Counts(NamedTuple):
    """What an attempt's report counts; `told` is False where it has none."""

    told: bool
    prompt: int
    sampled: int
    appended: int
    lost: int


def _reported(reader: JournalReader) -> dict[tuple[str, int], Counts]:
    rows = reader.query(
        "SELECT solve_id, attempt, outcome IS NOT NULL, coalesce(prompt, 0), "
        "coalesce(sampled, 0), coalesce(appended, 0), lost_tokens FROM attempts"
    )
    return {(row[0], row[1]): Counts(bool(row[2]), *row[3:]) for row in rows}


def _faults(pieces: list[Piece], counts: Counts | None) -> Iterator[str]:
    position = 0
    for piece in pieces:
        if piece.start > position:
            yield f"tokens {position}-{piece.start - 1} are missing"
        elif piece.start < position:
            yield f"tokens {piece.start}-{position - 1} are there twice"
        position = piece.start + piece.length
    if counts is None or not counts.told:
        return
    here = {
        kind: sum(piece.length for piece in pieces if piece.kind == kind)
        for kind in ("sampled", "appended")
    }
    if here["sampled"] != counts.sampled:
        yield f"{here['sampled']} sampled tokens are here, {counts.sampled} reported"
    appended = counts.prompt + counts.appended
    if here["appended"] != appended:
        yield f"{here['appended']} appended tokens are here, {appended} reported"
