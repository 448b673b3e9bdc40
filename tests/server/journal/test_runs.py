"""Runs in the journal: rows, listings, what pruning leaves, and files of the first version."""

import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from typer.testing import CliRunner

from client.schema import BudgetDecided, Event, SolveRequested
from server.journal.commands import app
from server.journal.derived import rebuild
from server.journal.export_rows import export_rows
from server.journal.journal import Journal
from server.journal.migrations import migrate, scripts
from server.journal.reader import JournalReader, SolveFilter
from server.journal.retention import Retention, delete, delete_runs, empty_runs, next_to_go
from server.journal.runs import AnswerRow, RunRow
from tests.server.journal.stories import options, solve_events

RUN = RunRow(
    id="contest", created=1_000.0, name="fifty problems", problems=50, limit_s=18_000.0,
    budget="adaptive", request="{}", elapsed_s=0.0, boot="b", boot_s=5.0, wall=1_000.0,
)  # fmt: skip


def of_run(event: Event, run: str) -> Event:
    if not isinstance(event, SolveRequested):
        return event
    return event.model_copy(update={"request": {**event.request, "run": run}})


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """Return a journal with a run of one solve, and a solve outside."""
    anyio.run(_tell, tmp_path)
    return tmp_path / "journal.sqlite"


async def _tell(folder: Path) -> None:
    async with Journal(options(folder)) as journal:
        journal.put_run(replace(RUN, created=time.time()))
        for solve_id, run in (("solve-in", "contest"), ("solve-out", "")):
            for event in solve_events(solve_id, journal.next_id):
                journal.append(of_run(event, run) if run else event)
        decided = BudgetDecided(
            id=journal.next_id(), solve_id="solve-in", at=1.0, limit_s=360.5, reason="open",
            elapsed_s=12.0, run_s=100.0, left_s=17_888.0, problems_left=50,
        )  # fmt: skip
        journal.append(decided)


def test_a_run_is_found_with_what_is_done(told: Path) -> None:
    with JournalReader(told) as reader:
        (run,) = reader.runs()
        assert replace(run, created=RUN.created) == RUN
        assert (reader.run("contest"), reader.run("other")) == (run, None)
        assert reader.runs_done() == {"contest": 1}
        (inside,) = reader.solves(SolveFilter(run="contest"))
        assert (inside.id, inside.run_id) == ("solve-in", "contest")
        assert reader.query("SELECT limit_s, run_s FROM budgets") == [(360.5, 100.0)]
        exported = [row.values["run"] for s in reader.solves() for row in export_rows(reader, s)]
        assert sorted(exported, key=str) == [None, None, "contest", "contest"]


def test_writing_it_again_changes_the_row(tmp_path: Path) -> None:
    async def write() -> None:
        async with Journal(options(tmp_path)) as journal:
            journal.put_run(RUN)
            journal.put_run(replace(RUN, finished=9.0, ended_s=8.0, reason="done"))

    anyio.run(write)
    with JournalReader(tmp_path / "journal.sqlite") as reader:
        assert reader.runs() == [replace(RUN, finished=9.0, ended_s=8.0, reason="done")]


def test_the_first_answer_of_a_problem_stands_and_goes_with_its_run(tmp_path: Path) -> None:
    first = AnswerRow("contest", "p1", 2_000.0, "7", "ballot", "solve-a", 3.5, '["odd"]')
    second = AnswerRow("contest", "p2", 2_001.0, "0", "default")

    async def write() -> None:
        async with Journal(options(tmp_path)) as journal:
            journal.put_answer(replace(first, run_id="unknown"))
            journal.put_run(RUN)
            for row in (first, second, replace(first, answer="8", rung="vote")):
                journal.put_answer(row)
            # the unknown run's costs nobody else's
            assert await journal.flush()
            assert journal.status().dropped == 1

    anyio.run(write)
    path = tmp_path / "journal.sqlite"
    with JournalReader(path) as reader:
        assert reader.run_answers("contest") == [first, second]
        assert reader.run_answers("unknown") == []
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("DELETE FROM runs")
    assert connection.execute("SELECT count(*) FROM run_answers").fetchone() == (0,)
    connection.close()


def test_commands_show_runs_and_budgets(told: Path) -> None:
    def ask(*arguments: str) -> str:
        done = CliRunner().invoke(app, [*arguments, "--journal", str(told)], env={"COLUMNS": "140"})
        assert done.exit_code == 0, done.output
        return done.output

    assert "1 of 50" in ask("runs")
    assert '"done":1' in ask("runs", "--json")
    listed = ask("ls", "--run", "contest")
    assert "solve-in" in listed
    assert "solve-out" not in listed
    assert "360.5" in ask("show", "solve-in")
    assert "May take" not in ask("show", "solve-out")


def test_the_listing_can_be_made_again(told: Path) -> None:
    connection = sqlite3.connect(told, isolation_level=None)
    connection.execute("UPDATE solves SET run_id = NULL")
    rebuild(connection)
    rows = connection.execute("SELECT id, run_id FROM solves ORDER BY id").fetchall()
    connection.close()
    assert rows == [("solve-in", "contest"), ("solve-out", None)]


def test_solves_of_an_open_run_stay(told: Path) -> None:
    none_kept = Retention(most_bytes=0, keep_s=None)
    connection = sqlite3.connect(told, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    assert next_to_go(connection, none_kept, time.time(), pruning=False) == "solve-out"
    delete(connection, "solve-out")
    assert next_to_go(connection, none_kept, time.time(), pruning=False) is None
    connection.execute("UPDATE runs SET finished = 1")
    assert next_to_go(connection, none_kept, time.time(), pruning=False) == "solve-in"
    delete(connection, "solve-in")
    assert connection.execute("SELECT count(*) FROM runs").fetchone() == (0,)
    connection.close()


async def test_a_run_without_solves_goes_by_its_age_and_by_no_other_solves_end(told: Path) -> None:
    """Its caller answered its problems without a server: what was told is kept with the run."""
    now = time.time()
    async with Journal(options(told.parent)) as journal:
        for name, finished in (("unsolved", now), ("old", now - 200.0), ("open", None)):
            journal.put_run(replace(RUN, id=name, created=now - 300.0, finished=finished))
        journal.put_answer(AnswerRow("unsolved", "p1", now, "7", "default"))
        journal.put_run(replace(RUN, finished=now))
    connection = sqlite3.connect(told, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    kept = Retention(most_bytes=None, keep_s=100.0)
    assert empty_runs(connection, Retention(most_bytes=0, keep_s=None), now) == []
    assert empty_runs(connection, kept, now) == ["old"]
    delete(connection, "solve-out")
    assert connection.execute("SELECT count(*) FROM runs").fetchone() == (4,)
    delete(connection, "solve-in")
    delete_runs(connection, ["old", "open"])
    rows = connection.execute("SELECT id FROM runs ORDER BY id").fetchall()
    assert rows == [("open",), ("unsolved",)]
    assert connection.execute("SELECT answer FROM run_answers").fetchall() == [("7",)]
    connection.close()


def test_prune_tells_of_runs_without_solves(tmp_path: Path) -> None:
    async def write() -> None:
        async with Journal(options(tmp_path)) as journal:
            for name in ("old", "new"):
                journal.put_run(replace(RUN, id=name, finished=9.0 if name == "old" else None))

    anyio.run(write)
    path = tmp_path / "journal.sqlite"
    for given, verb in (((), "would be deleted"), (("--delete",), "deleted")):
        arguments = ["prune", "--keep-days", "1", "--journal", str(path), *given]
        done = CliRunner().invoke(app, arguments)
        assert f"1 runs without a solve: {verb}" in done.output
    with JournalReader(path) as reader:
        assert [run.id for run in reader.runs()] == ["new"]


def test_a_file_of_the_first_version_gets_runs(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    connection = sqlite3.connect(path, isolation_level=None)
    migrate(connection, scripts()[:1])
    connection.execute("INSERT INTO solves (id, created) VALUES ('solve-a', 1.5)")
    connection.close()

    async def write() -> None:
        async with Journal(options(tmp_path)) as journal:
            journal.close_unfinished()
            journal.put_run(RUN)

    anyio.run(write)
    with JournalReader(path) as reader:
        assert reader.runs() == [RUN]
        assert [(solve.id, solve.run_id) for solve in reader.solves()] == [("solve-a", None)]
