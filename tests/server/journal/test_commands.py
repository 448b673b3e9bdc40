"""`quorum journal`: what people and programs get to see."""

import importlib
import json
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from client.schema import AttemptRated, AttemptText, Channel
from server.journal.bounds import moment
from server.journal.commands import app
from server.journal.errors import (
    ExportFailed,
    JournalUnreadable,
    MalformedOption,
    UnknownSolve,
)
from server.journal.journal import Journal
from server.journal.migrations import APPLICATION_ID, scripts
from server.journal.reader import JournalReader
from server.journal.retention import used_bytes
from server.replay.load import load_records
from tests.server.journal.conftest import SOLVES
from tests.server.journal.stories import log_probabilities, mask, options, solve_events, token_ids


def run(path: Path, *arguments: str) -> Result:
    command, *rest = arguments
    result = CliRunner().invoke(
        app, [command, "--journal", str(path), *rest], env={"COLUMNS": "200"}
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def lines(path: Path, *arguments: str) -> list[dict[str, Any]]:
    result = run(path, *arguments, "--json")
    return [json.loads(line) for line in result.stdout.splitlines()]


def change(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_ls_shows_the_newest_first(told: Path) -> None:
    shown = run(told, "ls").stdout
    assert [solve for solve in reversed(SOLVES) if solve in shown] == list(reversed(SOLVES))
    assert shown.index("solve-c") < shown.index("solve-a")
    listed = lines(told, "ls", "--limit", "2", "--end", "agreement", "--text", "6 * 7")
    assert [(solve["id"], solve["answer"]) for solve in listed] == [
        ("solve-c", "42"),
        ("solve-b", "42"),
    ]


@pytest.mark.parametrize("columns", [80, 120])
async def test_ls_has_a_line_for_each_solve_that_fits(tmp_path: Path, columns: int) -> None:
    async with Journal(options(tmp_path)) as journal:
        for name, problem in (("solve-a", "数" * 300), ("solve-b", "What is it?\n" * 40)):
            for event in solve_events(name, journal.next_id, problem=problem):
                journal.append(event)
    arguments = ["ls", "--journal", str(tmp_path / "journal.sqlite")]
    shown = CliRunner().invoke(app, arguments, env={"COLUMNS": str(columns)}).stdout
    lines = [line for line in shown.splitlines() if "solve-" in line]
    assert len(lines) == 2
    assert all("What is it?" in line or "数数" in line for line in lines)
    assert all("agreement" in line and "42" in line for line in lines)
    assert max(map(cell_len, shown.splitlines())) <= columns


def test_ls_on_a_narrow_terminal_shows_ids_that_can_be_copied(told: Path) -> None:
    arguments = ["ls", "--journal", str(told)]
    shown = CliRunner().invoke(app, arguments, env={"COLUMNS": "30"}).stdout
    assert "solve-b" in shown
    assert max(map(cell_len, shown.splitlines())) <= 30


@pytest.mark.parametrize(
    "arguments", [["ls"], ["show", "solve-b"], ["prune", "--keep-days", "1e-9"]]
)
def test_a_terminal_too_narrow_for_columns_has_a_line_for_each_field(
    told: Path, arguments: list[str]
) -> None:
    call = [*arguments, "--journal", str(told)]
    shown = CliRunner().invoke(app, call, env={"COLUMNS": "20"}).stdout
    assert "…" not in shown
    if arguments[0] != "show":
        assert "Solve: solve-b\n" in shown.replace(" \n", "\n")
    else:
        assert "Sampled: 200" in shown


def test_show_tells_the_solve_the_attempt_and_the_events(told: Path) -> None:
    shown = run(told, "show", "solve-b").stdout
    assert "What is 6 * 7?" in shown
    assert "answer 42: enough attempts agreed" in shown
    transcript = run(told, "show", "solve-b", "--attempt", "1").stdout
    assert "turn 2 of attempt 1" in transcript
    assert "print(6 * 7)" in transcript
    with JournalReader(told) as reader:
        expected = [e.model_dump(mode="json") for e in reader.events(solve_id="solve-b")]
    assert lines(told, "show", "solve-b") == expected


async def test_what_a_model_wrote_commands_no_terminal(tmp_path: Path) -> None:
    async with Journal(options(tmp_path)) as journal:
        for event in solve_events("solve-a", journal.next_id, problem="\x1b[2J [red]6[/red]?"):
            journal.append(event)
        text = AttemptText(
            id=journal.next_id(), solve_id="solve-a", at=9.0, attempt=0, turn=2,
            channel=Channel.FINAL, text="\x1b]0;title\x07 [bold]x[/bold] \u202e", sampled=1,
        )  # fmt: skip
        journal.append(text)
    path = tmp_path / "journal.sqlite"
    for arguments in (["ls"], ["show", "solve-a"], ["show", "solve-a", "--attempt", "0"]):
        shown = run(path, *arguments).stdout
        assert not {"\x1b", "\x07", "\u202e"} & set(shown)
        assert "[red]6[/red]" in shown or "[bold]x[/bold]" in shown


def test_export_writes_a_row_an_attempt(told: Path, tmp_path: Path) -> None:
    target = tmp_path / "attempts.jsonl"
    target.write_text("what was there before")
    assert "6 attempts" in run(told, "export", str(target)).stdout
    rows = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert [(row["solve_id"], row["attempt"]) for row in rows] == [
        (solve, attempt) for solve in SOLVES for attempt in range(2)
    ]
    for row in rows:
        attempt = row["attempt"]
        assert row["ids"] == token_ids(attempt)
        assert row["mask"] == [int(sampled) for sampled in mask()]
        assert row["logprobs"] == [
            number if sampled else None
            for number, sampled in zip(log_probabilities(attempt), mask(), strict=True)
        ]
        assert row["confidence"] is None
        assert row["complete"] is True
        assert (row["answer"], row["end"], row["solve_end"]) == ("42", "answered", "agreement")
        assert (row["model_file"], row["prompts"], row["offset"]) == ("tiny.gguf", "00", 3)
    assert [path.name for path in tmp_path.glob("*attempts*")] == ["attempts.jsonl"]


def test_an_export_goes_into_a_pipe_and_through_a_link(told: Path, tmp_path: Path) -> None:
    """As /dev/stdout is: neither is replaced by a file."""
    pipe, link, target = tmp_path / "pipe", tmp_path / "link", tmp_path / "target"
    os.mkfifo(pipe)
    read: list[bytes] = []
    thread = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    thread.start()
    assert run(told, "export", str(pipe)).stdout == ""
    thread.join(20)
    assert pipe.is_fifo()
    target.write_text("before")
    link.symlink_to(target)
    run(told, "export", str(link))
    assert link.is_symlink()
    assert read == [target.read_bytes()]
    assert len(read[0].splitlines()) == 6


async def test_an_export_has_what_a_reward_model_said(told: Path, tmp_path: Path) -> None:
    """The last word on an attempt counts, and `quorum replay` reads it."""
    async with Journal(options(told.parent)) as journal:
        for steps in ([0.5], [0.75, 0.25]):
            journal.append(
                AttemptRated(
                    id=journal.next_id(), solve_id="solve-a", at=3.0, attempt=1, steps=steps
                )
            )
    target, answers = tmp_path / "attempts.jsonl", tmp_path / "answers.jsonl"
    run(told, "export", str(target))
    rows = [json.loads(line) for line in target.read_bytes().splitlines()]
    assert [row["step_scores"] for row in rows[:3]] == [None, [0.75, 0.25], None]
    answers.write_text("".join(f'{{"id": "name of {name}", "answer": "42"}}\n' for name in SOLVES))
    rated = load_records([target], answers).problems[0].attempts[1]
    assert (rated.step_scores, rated.right, rated.tokens) == ((0.75, 0.25), True, 200)


def test_an_export_never_takes_the_place_of_a_journal(told: Path, tmp_path: Path) -> None:
    before = told.read_bytes()
    with pytest.raises(ExportFailed, match="is a database, such as the journal itself"):
        run(told, "export", str(told))
    link = tmp_path / "attempts.jsonl"
    link.symlink_to(told)
    with pytest.raises(ExportFailed, match="name a new file"):
        run(told, "export", str(link))
    assert told.read_bytes() == before


def test_an_attempt_that_is_not_there_is_told(told: Path) -> None:
    with pytest.raises(UnknownSolve, match="solve-a has no attempt 9; `quorum journal show"):
        run(told, "show", "solve-a", "--attempt", "9")


def test_what_is_no_utf_8_on_the_command_line_is_not_found(told: Path) -> None:
    """Python has a lone surrogate for each such byte."""
    with pytest.raises(UnknownSolve, match=r"'solve-\\udcff': is not recorded"):
        run(told, "show", "solve-\udcff")
    for option in ("--text", "--run", "--problem-id", "--answer"):
        assert lines(told, "ls", option, "42\udcff") == []


def test_an_export_that_fails_leaves_what_was_there(told: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportFailed, match="name a path in a folder that can be written"):
        run(told, "export", str(tmp_path / "missing" / "a.jsonl"))
    target = tmp_path / "attempts.jsonl"
    target.write_text("before")
    change(told, "UPDATE segments SET ids = zeroblob(4 * count)", "DROP TABLE attempts")
    with pytest.raises(JournalUnreadable):
        run(told, "export", str(target))
    assert target.read_text() == "before"
    assert list(tmp_path.glob(".*partial")) == []


def test_parquet_without_pyarrow_names_the_extra(
    told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(importlib.import_module("sys").modules, "pyarrow", None)
    with pytest.raises(ExportFailed, match=r'pip install "quorum-aimo\[train\]"'):
        run(told, "export", str(tmp_path / "a.parquet"), "--format", "parquet")


def test_parquet_holds_the_same_as_json(told: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet needs the extra train")
    run(told, "export", str(tmp_path / "a.parquet"), "--format", "parquet")
    run(told, "export", str(tmp_path / "a.jsonl"))
    rows = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    expected = [json.loads(line) for line in (tmp_path / "a.jsonl").read_bytes().splitlines()]
    for row in rows:
        numbers = np.array(row["logprobs"], "<f4")
        row["logprobs"] = [None if np.isnan(n) else float(n) for n in numbers]
    assert rows == expected


ORPHAN = """
INSERT INTO segments
SELECT 1, 'x', 0, 1, kind, 0, count, ids, NULL, NULL FROM segments LIMIT 1
"""


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ("DELETE FROM segments WHERE start = 40 AND attempt = 1", "tokens 40-89 are missing"),
        ("UPDATE segments SET start = 30 WHERE start = 40", "tokens 30-39 are there twice"),
        ("UPDATE attempts SET sampled = 7", "200 sampled tokens are here, 7 reported"),
        ("UPDATE attempts SET prompt = 7", "60 appended tokens are here, 27 reported"),
        ("UPDATE events SET body = '{}' WHERE type = 'attempt.call'", "is not a attempt.call"),
        ("UPDATE solves SET outcome = NULL", "run with --rebuild"),
        (ORPHAN, "belongs to no events"),
    ],
)  # fmt: skip
def test_check_finds_what_does_not_fit(told: Path, damage: str, complaint: str) -> None:
    assert run(told, "check").stdout.endswith("no faults\n")
    change(told, damage)
    result = run(told, "check")
    assert result.exit_code == 1
    assert complaint in result.stdout


def test_the_listing_is_made_again_from_the_events(told: Path) -> None:
    with JournalReader(told) as reader:
        solves = reader.solves()
        attempts = [reader.attempts(solve.id) for solve in solves]
    change(
        told,
        "DELETE FROM attempts WHERE attempt = 0",
        "UPDATE attempts SET answer = '41', sampled = 0",
        "UPDATE solves SET answer = NULL, outcome = NULL, problem = 'other', finished = 0",
    )
    assert "made again from the events: 3 solves" in run(told, "check", "--rebuild").stdout
    with JournalReader(told) as reader:
        assert reader.solves() == solves
        assert [reader.attempts(solve.id) for solve in solves] == attempts


def test_prune_says_what_would_go_and_goes_when_told(told: Path) -> None:
    change(told, "UPDATE solves SET finished = 1000.0, created = 900.0 WHERE id = 'solve-b'")
    assert "1 solves" in run(told, "prune").stdout
    assert len(lines(told, "ls")) == 3
    (gone,) = lines(told, "prune", "--delete")
    assert (gone["solve_id"], gone["reason"], gone["deleted"]) == ("solve-b", "age", True)
    assert {solve["id"] for solve in lines(told, "ls")} == {"solve-a", "solve-c"}
    connection = sqlite3.connect(told)
    for table in ("events", "segments", "attempts"):
        assert connection.execute(
            f"SELECT count(*) FROM {table} WHERE solve_id = 'solve-b'"  # noqa: S608
        ).fetchone() == (0,)
    assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)
    connection.close()
    assert run(told, "check").exit_code == 0


def test_prune_by_size_takes_the_oldest(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.journal.bounds.MIB", 1)
    with JournalReader(told) as reader:
        used = used_bytes(reader.connection)
    going = lines(told, "prune", "--max-size-mib", str(used - 1), "--keep-days", "1")
    assert [(solve["solve_id"], solve["reason"]) for solve in going] == [("solve-a", "size")]


@pytest.mark.parametrize("arguments", [["--keep-days", "0"], ["--max-size-mib", "16"]])
def test_a_bound_of_prune_means_what_the_setting_does(told: Path, arguments: list[str]) -> None:
    """0 days: never."""
    assert lines(told, "prune", *arguments, "--delete") == []
    assert len(lines(told, "ls")) == 3


@pytest.mark.parametrize("size", ["0", "15.9", "nan"])
def test_prune_takes_no_size_that_the_setting_refuses(told: Path, size: str) -> None:
    assert run(told, "prune", "--max-size-mib", size, "--delete").exit_code == 2
    assert len(lines(told, "ls")) == 3


def test_prune_ends_where_no_space_can_be_given_back(told: Path, tmp_path: Path) -> None:
    """In a file that was made again from a dump SQLite has no room to move pages."""
    made = tmp_path / "again.sqlite"
    with closing(sqlite3.connect(told)) as old, closing(sqlite3.connect(made)) as new:
        new.executescript("\n".join(old.iterdump()))
        new.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        new.execute(f"PRAGMA user_version = {len(scripts())}")
    assert len(lines(made, "prune", "--keep-days", "1e-9", "--delete")) == 3
    assert lines(made, "ls") == []


def test_numbers_beyond_all_bounds_are_no_defects(told: Path) -> None:
    assert len(lines(told, "ls", "--limit", str(10**20))) == 3
    assert lines(told, "runs", "--limit", str(10**20)) == []
    assert lines(told, "prune", "--max-size-mib", "inf", "--keep-days", "1") == []


async def test_a_running_journal_keeps_its_bound(tmp_path: Path) -> None:
    bound = 1_000_000
    async with Journal(options(tmp_path, max_size_bytes=bound)) as journal:
        for number in range(60):
            for event in solve_events(f"solve-{number:02}", journal.next_id, turns=10):
                journal.append(event)
            assert await journal.flush()
        assert journal.status().dropped == 0
    with JournalReader(tmp_path / "journal.sqlite") as reader:
        kept = sorted(solve.id for solve in reader.solves())
        assert 2 < len(kept) < 60
        assert kept[-1] == "solve-59"
        assert kept == [f"solve-{number:02}" for number in range(60 - len(kept), 60)]
    assert (tmp_path / "journal.sqlite").stat().st_size < 1.3 * bound


def test_times_are_ages_or_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.journal.bounds.time.time", lambda: 1_000_000.0)
    assert moment("90m") == 1_000_000 - 90 * 60
    assert moment("1.5d") == 1_000_000 - 1.5 * 86_400
    assert moment("2026-03-01T00:00:00+00:00") == 1_772_323_200
    for text in ("yesterday", "nand", "infh", "-infm"):
        with pytest.raises(MalformedOption, match="must be an age such as 36h"):
            moment(text)
