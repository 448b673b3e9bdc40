"""`predict` when the server misbehaves: an answer in time, of the highest rung that is left."""

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from kaggle_notebook.current import set_current
from kaggle_notebook.evidence import Evidence
from kaggle_notebook.files import read_json
from kaggle_notebook.predict import predict
from kaggle_notebook.session import Session
from kaggle_notebook.settings import RERUN
from kaggle_notebook.solving import Task
from kaggle_notebook.start import finish, start
from kaggle_notebook.supervised import server_arguments
from tests.kaggle_double.gateway import checked

ROOT = Path(__file__).resolve().parents[2]
#: The session's time where the server begins the solve, whose own limit is 0.3 s: far more than a
#: test may take, so one whose answer comes only when that time is over fails, on any machine.
PLENTY_S = 600.0
#: And where it does not: then this is all there is.
SCARCE_S = 0.8
SCARCE = {"limit_s": SCARCE_S + 0.1, "margin_s": 0.1}
PROBLEM = "What is $6 \\times 7$?"
#: A session that answers by itself, at once, without a server.
TIMING: dict[str, Any] = {"mode": "timing", "timing_s": 0.0}


@contextmanager
def session_of(fault: str, folder: Path, **settings: Any) -> Iterator[Session]:  # noqa: ANN401
    module = "tests.kaggle_notebook.misbehaving_server"
    given = {
        "folder": str(folder),
        "problems": 1,
        "limit_s": PLENTY_S,
        "margin_s": 0.5,
        "elapsed_s": 0,
        "stall_s": 0.3,
        "failed_wait_s": 0.2,
        "command": (sys.executable, "-m", module, fault),
        **settings,
    }
    session = start(given)
    try:
        yield session
    finally:
        session.close()
        set_current(None)


def ask(identity: object = "a1", problem: object = PROBLEM) -> int:
    """Ask as the gateway does, and take the answer as it does."""
    frame = predict(pl.Series("id", [identity]), pl.Series("problem", [problem]))
    return int(checked(frame, pl.DataFrame({"id": ["a1"]}))["answer"][0])


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for what other processes do; a test's own limit bounds it."""
    while not condition():
        time.sleep(0.02)


def rung(session: Session) -> str:
    return session.record.lines()[-1].rung


@pytest.mark.parametrize(
    ("fault", "answer", "expected"),
    [
        ("stall", 9, "ballot"),
        ("stall-boxed", 5, "boxed"),
        ("stall-printed", 17, "printed"),
        ("cut", 9, "ballot"),
        ("trickle", 9, "ballot"),
        ("garbage", 9, "ballot"),
        ("die", 9, "ballot"),
        ("overtime", 9, "ballot"),
        ("refuse", 3, "default"),
        ("hasty", 21, "vote"),
        ("forgetful", 21, "vote"),
    ],
)
def test_a_fault_in_mid_solve(tmp_path: Path, fault: str, answer: int, expected: str) -> None:
    with session_of(fault, tmp_path, default_answer=3) as session:
        assert ask() == answer
        assert rung(session) == expected


@pytest.mark.parametrize("fault", ["stall-at-once", "busy", "mute", "never-ready", "no-start"])
def test_a_fault_before_a_solve(tmp_path: Path, fault: str) -> None:
    with session_of(fault, tmp_path, default_answer=3, **SCARCE) as session:
        began = time.monotonic()
        assert ask() == 3
        assert time.monotonic() - began < SCARCE_S + 3.0
        assert rung(session) == "default"


def test_one_problem_that_is_refused_again_and_again_takes_a_share_of_the_time(
    tmp_path: Path,
) -> None:
    with session_of("busy", tmp_path, default_answer=3, problems=600) as session:
        assert ask() == 3
        (line,) = session.record.lines()
        assert line.notes == ('the server answered 429: {"detail": "too many"}',)


def test_an_engine_that_is_given_up_again_and_again_is_not_waited_for(tmp_path: Path) -> None:
    with session_of("gives-up", tmp_path, default_answer=3) as session:
        assert ask() == 3
        assert "the server does not start" in session.record.lines()[0].notes


def test_why_a_server_does_not_start_is_in_the_record_and_the_log(tmp_path: Path) -> None:
    with session_of("no-start", tmp_path, default_answer=3) as session:
        assert ask() == 3
        (line,) = session.record.lines()
        why = "the server ended with exit code 1: no such engine; see server.log"
        assert line.notes == (why, "the server does not start")
        session._disk.do(lambda: None, 10)
        assert why in (tmp_path / "session.log").read_text()


def test_what_the_engine_of_a_listening_server_waited_for_is_in_the_record(tmp_path: Path) -> None:
    with session_of("never-ready", tmp_path, default_answer=3, **SCARCE) as session:
        assert ask() == 3
        (line,) = session.record.lines()
        why = "the server listens, and its engine was not ready: up; 3 of 12 GB are read"
        assert line.notes == (why,)


def test_the_solve_that_is_named_is_the_one_that_the_answer_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with session_of("no-start", tmp_path, default_answer=3) as session:

        def solve(task: Task) -> None:
            first = Evidence(solve_id="s1", end="deadline", tokens=100, outputs=["17"])
            task.evidence += [Evidence(solve_id="s2", end="all_finished", tokens=200), first]

        monkeypatch.setattr(session._solver, "solve", solve)
        assert ask() == 17
        (line,) = session.record.lines()
        assert (line.solve, line.end, line.tokens) == ("s1", "deadline", 100)


def test_a_server_that_lost_its_journal_is_told_all_answers_again(tmp_path: Path) -> None:
    with session_of("stall", tmp_path):
        ask()
    (tmp_path / "told.jsonl").unlink(missing_ok=True)
    with session_of("forgetful", tmp_path, problems=2):
        assert ask("a2") == 21
        told = (tmp_path / "told.jsonl").read_text()
        # whenever the run is opened, which was twice; sooner or later by the teller too
        assert told.count('"problem_id": "a1"') >= 2


@pytest.mark.parametrize("named", ["", "elsewhere.json"])
def test_what_a_dead_server_left_on_disk_is_the_answer(tmp_path: Path, named: str) -> None:
    """Wherever the first cell has it written, and where it names a journal elsewhere."""
    server = {"journal.path": "/elsewhere/journal.sqlite"}
    server |= {"journal.fallback": named} if named else {}
    with session_of("fallback", tmp_path, server=server) as session:
        entry = {"solve": "s1", "answer": "77", "rung": "ballot", "votes": 2, "final": False}
        runs = {session.id: {"problems": {"a1": entry}}}
        arguments = server_arguments(session.settings, tmp_path)
        path = tmp_path / arguments[arguments.index("--journal-fallback") + 1]
        path.write_text(json.dumps({"version": 1, "runs": runs}))
        assert ask() == 77
        assert rung(session) == "ballot"
        assert session.record.lines()[0].solve == "s1"


def test_the_same_id_has_the_same_answer_here_and_in_the_next_process(tmp_path: Path) -> None:
    with session_of("stall", tmp_path) as session:
        first = ask()
        assert ask(problem="Another text?") == first
        assert len(session.record) == 1
        spent = session.clock.elapsed_s
    with session_of("no-start", tmp_path) as session:
        assert session.clock.elapsed_s >= spent
        assert ask() == first
        assert len(session.record) == 1


def test_callers_with_one_id_at_once_share_one_answer(tmp_path: Path) -> None:
    with session_of("stall", tmp_path) as session:
        answers: list[int] = []
        threads = [threading.Thread(target=lambda: answers.append(ask())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [9] * 4
        assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == len(session.record)


@pytest.mark.parametrize("rerun", [True, False])
@pytest.mark.parametrize(("elapsed_s", "same"), [(950, True), (1020, True), (1060, False)])
def test_a_run_that_was_cut_is_gone_on_with_in_its_margin_and_soon_after_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elapsed_s: float, same: bool, rerun: bool
) -> None:
    if rerun:
        monkeypatch.setenv(RERUN, "1")
    settings = {"limit_s": 1000, "margin_s": 100, "elapsed_s": elapsed_s, **TIMING}
    with session_of("no-start", tmp_path, **settings) as session:
        ask()
    with session_of("no-start", tmp_path, **settings) as again:
        assert (again.id == session.id) is same
        assert len(again.record) == same
        assert again.clock.left_s == 0


@pytest.mark.parametrize(
    ("mode", "changed", "rerun", "same"),
    [
        ("fixed-set", {}, False, True),
        ("fixed-set", {"stall_s": 9.0, "install": ("true",)}, False, True),
        ("fixed-set", {"solve": {"max_tokens": 1}}, False, False),
        ("fixed-set", {"server": {"solve.attempts": 3}}, False, False),
        ("full", {"solve": {"max_tokens": 1}}, False, True),
        ("full", {"mode": "timing"}, False, False),
        ("fixed-set", {"solve": {"max_tokens": 1}, "mode": "full"}, True, True),
    ],
)
def test_a_score_is_of_one_set_of_settings_and_a_run_that_counts_keeps_its_answers(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    changed: dict[str, Any],
    rerun: bool,
    same: bool,
) -> None:
    if rerun:
        monkeypatch.setenv(RERUN, "1")
    given = {"mode": mode, "solve": {"max_tokens": 2}}
    with session_of("no-start", tmp_path, **SCARCE, **given) as session:
        ask(problem="")
    (tmp_path / "session.json").unlink()  # one of two files may be torn
    with session_of("no-start", tmp_path, **SCARCE, **{**given, **changed}) as again:
        assert (again.id == session.id, len(again.record)) == (same, same)
        assert (tmp_path / "earlier" / session.id / "answers.jsonl").exists() is not same


def test_an_ended_session_begins_afresh(tmp_path: Path) -> None:
    with session_of("stall", tmp_path) as session:
        ask()
        finish()
    with session_of("stall", tmp_path) as another:
        assert another.id != session.id
        assert len(another.record) == 0
    kept = read_json(tmp_path / "earlier" / session.id / "session.json")
    assert kept is not None
    assert kept["finished"]


NONSENSE: list[tuple[object, ...]] = [
    (),
    (None,),
    (None, None),
    (pl.Series("id", []), pl.Series("problem", [])),
    (pl.Series("id", [float("nan")]), pl.Series("problem", [None], dtype=pl.String)),
    (pd.Series([pd.NA]), pd.Series([None])),
    (pl.DataFrame({"id": ["a"], "problem": [""]}),),
    (3, b"\xff"),
    (object(), object()),
]


def test_nonsense_is_answered_in_the_frame_that_the_gateway_takes(tmp_path: Path) -> None:
    with session_of("no-start", tmp_path, mode="timing", timing_s=0.0):
        for arguments in NONSENSE:
            checked(predict(*arguments), pl.DataFrame({"id": ["a"]}))


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with session_of("stall", blocked / "below") as session:
        assert ask() == 9
        assert session.folder.is_dir()
        folder = session.folder
    with session_of("no-start", blocked / "below") as session:
        assert session.folder == folder
        assert ask() == 9, "what stands for the folder keeps the answers too"
    shutil.rmtree(folder)


def test_an_oddity_is_logged_once(tmp_path: Path) -> None:
    with session_of("no-start", tmp_path, mode="timing", timing_s=0.0):
        for number in range(3):
            predict(pl.Series("name", [f"{number}"]), pl.Series("problem", ["What?"]))
        lines = (tmp_path / "session.log").read_text().splitlines()
        assert sum('"input"' in line for line in lines) == 1


def test_timing_mode_waits_and_answers_zero_without_a_server(tmp_path: Path) -> None:
    with session_of("no-start", tmp_path, mode="timing", timing_s=0.2) as session:
        began = time.monotonic()
        assert ask() == 0
        assert time.monotonic() - began >= 0.2
        assert session.server.state is None


def test_the_server_ends_with_the_session(tmp_path: Path) -> None:
    with session_of("stall", tmp_path):
        ask()
        pid = int((tmp_path / "pid").read_text())
        assert Path(f"/proc/{pid}").exists()
    assert not Path(f"/proc/{pid}/exe").exists()


def test_a_killed_supervisor_comes_back(tmp_path: Path) -> None:
    with session_of("stall", tmp_path) as session:
        assert ask("before") == 9
        left = int((tmp_path / "pid").read_text())
        os.kill(session.server.supervisor_pid, 9)
        assert ask("after") == 9
        wait_until(lambda: not Path(f"/proc/{left}/exe").exists())
