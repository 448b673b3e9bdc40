# ruff: noqa: ASYNC240 - small files of the tests' own
"""Bytes that changed on the disk: what is sound is read, and a server always starts."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from server.api.listing import stored_info
from server.journal.check import check
from server.journal.commands import app
from server.journal.errors import JournalDamaged, JournalUnreadable
from server.journal.export_rows import export_rows
from server.journal.journal import Journal
from server.journal.reader import JournalReader
from server.journal.retention import Retention, plan
from server.page.store import tail_events
from server.runs.stored import load_open_runs
from tests.server.journal.conftest import SOLVES
from tests.server.journal.stories import opening, options, solve_events


@contextmanager
def changing(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


@pytest.mark.parametrize(
    ("was", "became"),
    [
        (b"    tool_errors   INTEGER,", b"    tool_error\x07   INTEGER,"),
        (b"    tool_errors   INTEGER,", b"    tool_err\xc9rs   INTEGER,"),
        (b"    recorded REAL NOT NULL,", b"    recordex REAL NOT NULL,"),
        (b"CREATE TABLE attempts", b"CREATE TABLE attemp\xff\xfe"),
    ],
)
async def test_a_schema_that_is_not_ours_any_more_is_set_aside(
    told: Path, was: bytes, became: bytes
) -> None:
    content = told.read_bytes()
    assert was in content
    told.write_bytes(content.replace(was, became))
    async with Journal(options(told.parent)) as journal:
        (kept,) = journal.status().set_aside
        assert kept.name.startswith("journal.sqlite.damaged-")
        for event in solve_events("solve-new", journal.next_id):
            journal.append(event)
        assert await journal.flush()


def test_a_schema_that_is_no_utf_8_any_more_is_told_to_readers(told: Path) -> None:
    """SQLite quotes it in its error, of which Python then makes another one."""
    content = told.read_bytes()
    was = b"CREATE TABLE attempts"
    assert was in content
    told.write_bytes(content.replace(was, b"CREATE TABLE attemp\xff\xfe"))
    with pytest.raises(JournalUnreadable, match="damaged"), JournalReader(told) as reader:
        reader.solves()


@pytest.mark.parametrize(("place", "value"), [(60, 0xFF), (68, 0x50), (71, 0xCE), (59, 0x02)])
async def test_a_header_that_has_another_byte_is_set_aside(
    told: Path, place: int, value: int
) -> None:
    """Version of the schema, mark of the program, encoding: none makes it somebody else's."""
    content = bytearray(told.read_bytes())
    content[place] = value
    told.write_bytes(content)
    async with Journal(options(told.parent)) as journal:
        (kept,) = journal.status().set_aside
        assert kept.read_bytes() == content


def test_check_says_where_a_file_is_damaged_and_what_to_do(told: Path) -> None:
    with changing(told) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        root = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'segments'"
        ).fetchone()[0]
    content = bytearray(told.read_bytes())
    content[(root - 1) * size : root * size] = bytes(size)
    told.write_bytes(content)
    result = CliRunner().invoke(app, ["check", "--journal", str(told)])
    assert result.exit_code == 1
    assert f"pages: Page {root}: btreeInitPage" in result.stdout
    assert "tokens: cannot be read to the end: database disk image" in result.stdout
    assert result.stdout.endswith("the next server begins a new one\n")
    with (
        pytest.raises(JournalDamaged, match="move the file away") as caught,
        JournalReader(told) as reader,
    ):
        list(reader.events())
    assert "journal check" not in str(caught.value)


async def test_a_page_that_shows_to_be_bad_only_when_it_is_read_is_set_aside(told: Path) -> None:
    with changing(told) as connection:
        rows = connection.execute("SELECT max(rowid) FROM solves").fetchone()[0]
        assert rows == len(SOLVES)
        connection.execute("UPDATE solves SET outcome = NULL WHERE id = 'solve-b'")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA writable_schema = ON")
        # The table of the events seems to be elsewhere, in pages that are sound themselves.
        connection.execute(
            "UPDATE sqlite_master SET rootpage = "
            "(SELECT rootpage FROM sqlite_master WHERE name = 'run_answers') WHERE name = 'events'"
        )
    async with Journal(options(told.parent)) as journal:
        assert len(journal.status().set_aside) == 1


async def test_a_damaged_event_hides_no_other_and_keeps_no_server_from_starting(
    told: Path,
) -> None:
    async with Journal(options(told.parent)) as journal:
        for event in opening("solve-cut", journal.next_id):
            journal.append(event)
    with changing(told) as connection:
        for kind in ("solve.requested", "solve.started"):
            connection.execute(
                "UPDATE events SET body = substr(body, 3) WHERE solve_id = ? AND type = ?",
                ("solve-cut", kind),
            )
        cut = "UPDATE events SET body = replace(body, '\"turn\":', '\"tuxn\":') WHERE id = ?"
        (lost,) = connection.execute(
            "SELECT min(id) FROM events WHERE solve_id = 'solve-a' AND type = 'attempt.text'"
        ).fetchone()
        connection.execute(cut, (lost,))
    with capture_logs() as logs:
        async with Journal(options(told.parent)) as journal:
            assert not journal.status().set_aside
            assert [solve.solve_id for solve in journal.unfinished()] == ["solve-cut"]
            journal.close_unfinished()
    assert {"journal.damaged_event"} <= {line["event"] for line in logs}
    with JournalReader(told) as reader:
        rows = [row.id for row, _ in reader.rows(solve_id="solve-a")]
        assert [event.id for event in reader.events(solve_id="solve-a")] == [
            row for row in rows if row != lost
        ]
        assert tail_events(reader, "solve-a")
        assert list(export_rows(reader, reader.solve("solve-a")))
        assert list(export_rows(reader, reader.solve("solve-cut"))) == []
        assert reader.solve("solve-cut").outcome == "interrupted"
        found = {finding.subject for finding in check(reader)}
        assert f"event {lost}" in found
    assert load_open_runs(told) == []


async def test_text_that_is_no_utf_8_any_more_is_shown_and_hides_no_other(told: Path) -> None:
    with changing(told) as connection:
        connection.execute(
            "UPDATE solves SET problem = CAST(x'57c928' AS TEXT), outcome = CAST(x'ff' AS TEXT) "
            "WHERE id = 'solve-b'"
        )
    with JournalReader(told) as reader:
        infos = {info.solve_id: info for info in map(stored_info, reader.solves())}
    assert set(infos) == set(SOLVES)
    assert infos["solve-b"].problem == "W\\xc9("
    assert infos["solve-b"].end is None


@pytest.mark.parametrize("value", ["1e300", "-9e999", "'text'", "x'ff00'"])
async def test_a_damaged_number_in_the_listing_hides_no_other(told: Path, value: str) -> None:
    """SQLite has the type of a value in its row, so that damage may make another type of it."""
    with changing(told) as connection:
        connection.execute(
            f"UPDATE solves SET created = {value}, finished = {value}, seconds = {value}, "  # noqa: S608
            "attempts = x'01' WHERE id = 'solve-b'"
        )
        connection.execute("UPDATE attempts SET weight = x'01' WHERE solve_id = 'solve-b'")
        assert len(list(plan(connection, Retention(0, 1.0), now=2.0))) == len(SOLVES)
    with JournalReader(told) as reader:
        infos = {info.solve_id: info for info in map(stored_info, reader.solves())}
        assert list(export_rows(reader, reader.solve("solve-b")))
        stored = reader.solve("solve-b")
    assert set(infos) == set(SOLVES)
    assert (stored.created, stored.seconds, stored.attempts) == (0.0, None, None)


@pytest.mark.parametrize(
    "damage",
    [
        "ids = 7",
        "ids = x'00'",
        "kind = 'other'",
        "logprobs = 'text'",
        "count = 'many'",
        "start = 'x'",
    ],
)
async def test_damaged_tokens_end_an_attempt_and_hide_no_other(told: Path, damage: str) -> None:
    with changing(told) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(
            f"UPDATE segments SET {damage} "  # noqa: S608 - the test's own
            "WHERE solve_id = 'solve-a' AND attempt = 1 AND start = 90"
        )
    with JournalReader(told) as reader:
        tokens = reader.tokens("solve-a", 1)
        assert (len(tokens.ids), tokens.complete) == (90, False)
        complete = [row.values["complete"] for row in export_rows(reader, reader.solve("solve-a"))]
        assert complete == [True, False]
        assert list(reader.events(solve_id="solve-a"))
        assert any(
            "attempt 1" in finding.subject or "event" in finding.subject
            for finding in check(reader)
        )
