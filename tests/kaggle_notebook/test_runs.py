"""Whole sessions: notebook, server, kernels and gateway are processes; the engine rehearses."""

import json
from pathlib import Path

import polars as pl

from server.engine.rehearsal.problems import right_answer
from server.journal.reader import JournalReader
from tests.kaggle_double.relay import Client
from tests.kaggle_notebook.notebooks import notebook, run_gateway, write_problems

SURE = "[rehearsal: right=1.0]"


def series(name: str, value: str) -> pl.Series:
    return pl.Series(name, [value])


def test_a_local_session_from_start_to_submission(tmp_path: Path) -> None:
    """Ten problems, some hostile, in the fixed set's mode: scored against what is right."""
    rows: dict[str | None, str] = {f"p{n}": f"How many are {n}? {SURE}" for n in range(7)}
    rows["long"] = f"Long {SURE} " + "x + " * 25_000
    rows["unicode"] = f"数学 😀 \u202e Größe {SURE}"
    rows[None] = f"Without an id {SURE}"
    known: dict[str | None, int] = {
        name: int(right_answer(text)) for name, text in rows.items() if name in ("p0", "p3", None)
    }
    write_problems(tmp_path, rows, known)
    # a file tells how many there are, whatever the first cell says
    with notebook(tmp_path, rerun=False, mode="fixed-set", problems=2) as session:
        session.process.wait(55)
        log = session.log()
        assert session.process.returncode == 0, log
    submission = pl.read_parquet(tmp_path / "submission.parquet")
    answers = dict(submission.iter_rows())
    expected = {name: right_answer(text) for name, text in rows.items() if name != "long"}
    assert {name: str(answers[name]) for name in expected} == expected
    lines = session.lines()
    assert {line["rung"] for line in lines} == {"vote"}, lines
    score = json.loads((tmp_path / "session" / "fixed_set.json").read_text())
    assert (score["problems"], score["right"]) == (10, 3)
    assert sorted(row["expected"] for row in score["rows"] if row["right"]) == sorted(
        known.values()
    )
    assert "3 of 10 right" in log
    with JournalReader(session.session / "journal.sqlite") as reader:
        assert [run.problems for run in reader.runs()] == [10]


def test_a_rerun_survives_the_server_and_the_notebook(tmp_path: Path) -> None:
    """An install goes on while the gateway calls; the server is killed; then the notebook."""
    rows: dict[str | None, str] = {f"p{n}": f"How many are {n}? {SURE}" for n in range(4)}
    write_problems(tmp_path, rows)
    install = ("sleep", "1")
    with notebook(tmp_path, rerun=True, install=install, problems=8) as session:
        client = Client(ports=[session.port()], startup_limit_s=20)
        first = client.send("predict", series("id", "p0"), series("problem", rows["p0"]))
        assert str(first["answer"][0]) == right_answer(rows["p0"])
        session.kill_server()
        second = client.send("predict", series("id", "p1"), series("problem", rows["p1"]))
        assert str(second["answer"][0]) == right_answer(rows["p1"])
        client.close()
    assert len(session.lines()) == 2
    clock = (tmp_path / "session" / "clock.json").read_text()
    with notebook(tmp_path, rerun=True, problems=8) as session:
        result = run_gateway(tmp_path, session.port())
        assert result == {"Succeeded": True, "Error": ""}, session.log()
    submission = dict(pl.read_parquet(tmp_path / "submission.parquet").iter_rows())
    assert submission["p0"] == first["answer"][0]
    assert submission["p1"] == second["answer"][0]
    lines = session.lines()
    assert sorted(line["id"] for line in lines) == sorted(map(str, rows)), "solved once each"
    assert {line["rung"] for line in lines} == {"vote"}
    assert (tmp_path / "session" / "clock.json").read_text() == clock


def test_first_boxed_makes_one_attempt_a_problem_whatever_the_first_cell_says(
    tmp_path: Path,
) -> None:
    rows: dict[str | None, str] = {f"p{n}": f"How many are {n}? {SURE}" for n in range(3)}
    write_problems(tmp_path, rows)
    wanted = {"attempts": 8, "agree": 4, "temperature": 0.5, "early_stop": "never", "max_turns": 9}
    settings = {"mode": "first-boxed", "problems": 3, "solve": wanted}
    with notebook(tmp_path, rerun=False, **settings) as session:
        session.process.wait(55)
        assert session.process.returncode == 0, session.log()
    submission = dict(pl.read_parquet(tmp_path / "submission.parquet").iter_rows())
    assert {name: str(submission[name]) for name in rows} == {
        name: right_answer(text) for name, text in rows.items()
    }
    with JournalReader(session.session / "journal.sqlite") as reader:
        (run,) = reader.runs()
        assert run.budget == "none"
        assert [row.rung for row in reader.run_answers(run.id)] == ["vote"] * 3
        solves = reader.solves()
        assert {(each.strategy, each.attempts) for each in solves} == {("first_boxed", 1)}
        assert [len(reader.attempts(each.id)) for each in solves] == [1] * 3
        temperatures = {each.temperature for s in solves for each in reader.attempts(s.id)}
        assert temperatures == {0.5}
