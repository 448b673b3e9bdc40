"""`predict` against all that a notebook, its caller and its server may do to it."""

import _thread
import io
import json
import logging
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kaggle_notebook.current import current_session, set_current
from kaggle_notebook.frames import Asked
from kaggle_notebook.ladder import Choice
from kaggle_notebook.predict import predict
from kaggle_notebook.record import AnswerLine
from kaggle_notebook.session import Session
from kaggle_notebook.settings import ENVIRONMENT
from kaggle_notebook.start import start
from tests.kaggle_double.gateway import checked
from tests.kaggle_notebook.test_predict import PROBLEM, TIMING, ask, rung, session_of, wait_until

IDS = pl.DataFrame({"id": ["a1"]})


def has_ballot(session: Session) -> bool:
    tasks = [each.task for each in list(session._pending.values())]
    return any(each.ballot for task in tasks for each in task.evidence)


# --- callers ------------------------------------------------------------------------------------


def test_an_interrupt_makes_it_answer_at_once_with_what_is_known(tmp_path: Path) -> None:
    # a long solve: without the interrupt it would go on
    with session_of("overtime", tmp_path, call_limit_s=20.0) as session:

        def interrupt() -> None:
            wait_until(lambda: has_ballot(session))
            _thread.interrupt_main()

        threading.Thread(target=interrupt, daemon=True).start()
        assert ask() == 9
        assert any("KeyboardInterrupt" in note for note in session.record.lines()[0].notes) or (
            rung(session) == "ballot"
        )
        assert ask() == 9


def test_a_signal_s_handler_may_ask_in_the_middle_of_an_answer(tmp_path: Path) -> None:
    answers: list[int] = []
    with session_of("stall", tmp_path):
        previous = signal.signal(signal.SIGALRM, lambda *_: answers.append(ask()))
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            answers.append(ask())
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
    assert set(answers) == {9}


def test_callers_at_once_without_a_session_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT, json.dumps({"folder": str(tmp_path), **TIMING}))
    threads = [threading.Thread(target=ask, args=(f"p{number}",)) for number in range(6)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        session = current_session()
        assert session is not None
        assert len(session.record) == 6
        assert not (tmp_path / "earlier").exists()
    finally:
        set_current(None)


def test_another_start_in_mid_answer_answers_at_once_and_goes_on(tmp_path: Path) -> None:
    with session_of("overtime", tmp_path) as session:
        answers: list[int] = []
        asking = threading.Thread(target=lambda: answers.append(ask()))
        asking.start()
        wait_until(lambda: has_ballot(session))
        with session_of("no-start", tmp_path) as another:
            asking.join()
            assert answers == [9]
            assert another.id == session.id
            assert ask() == 9
            assert len(another.record) == 1


def test_a_start_that_is_run_again_has_the_session_and_the_server_that_are_at_work(
    tmp_path: Path,
) -> None:
    with session_of("stall", tmp_path) as session:
        assert ask() == 9
        pid = (tmp_path / "pid").read_text()
        with session_of("stall", tmp_path) as again:
            assert again is session
            assert ask("b2") == 9
            assert (tmp_path / "pid").read_text() == pid


def test_a_run_is_finished_when_it_ends_not_when_it_goes_on_under_other_settings(
    tmp_path: Path,
) -> None:
    with session_of("stall", tmp_path):
        assert ask() == 9
        with session_of("stall", tmp_path, stall_s=0.4):
            assert not (tmp_path / "finished").exists()
            assert ask("b2") == 9
        assert (tmp_path / "finished").exists()


def test_an_ended_session_answers_what_it_knows(tmp_path: Path) -> None:
    with session_of("stall", tmp_path, default_answer=3) as session:
        assert ask() == 9
        session.close()
        assert ask() == 9
        began = time.monotonic()
        assert ask("b2") == 3
        assert time.monotonic() - began < 3.0


def test_equal_ids_have_one_answer_whatever_their_type(tmp_path: Path) -> None:
    with session_of("no-start", tmp_path, **TIMING) as session:
        for identity in (7, 7.0, "7"):
            ask(identity)
        assert len(session.record) == 1
        ask(7.5)
        ask(None)
        ask(float("nan"))
        assert len(session.record) == 3


class Hostile:
    """Raises whatever is asked of it."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __str__(self) -> str:
        raise RuntimeError

    __repr__ = __str__
    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    "arguments",
    [
        (2**70, PROBLEM),
        ("\ud800", "\udfff"),
        (Hostile(), Hostile()),
        ([[1, 2]], {"a": object()}),
        (b"\xff", 1j),
        (pl.Series("id", [[1]]), pl.Series("problem", [{"a": 1}])),
        (range(10**12), PROBLEM),
    ],
)
def test_odd_values_are_answered_in_a_frame_that_can_be_sent(
    tmp_path: Path, arguments: tuple[object, ...]
) -> None:
    with session_of("no-start", tmp_path, **TIMING):
        frame = predict(*arguments)
        checked(frame, IDS)
        frame.write_parquet(tmp_path / "sent.parquet")


def test_without_any_output_it_still_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "{no settings")
    monkeypatch.setattr(sys, "stderr", None)
    assert checked(predict("a", PROBLEM), IDS)["answer"][0] == 0


def test_closed_streams_cost_no_problem_its_vote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = io.StringIO()
    closed.close()
    with session_of("picky", tmp_path) as session, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", closed)
        patch.setattr(sys, "stderr", closed)
        # logging has nobody else to tell, as in a notebook
        patch.setattr(logging.getLogger(), "handlers", [])
        assert ask(None) == 21
        assert rung(session) == "vote"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), MemoryError()])
def test_whatever_ends_the_thread_at_a_problem_it_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    with session_of("stall", tmp_path, default_answer=3) as session:

        def solve(_task: object) -> None:
            raise error

        monkeypatch.setattr(session._solver, "solve", solve)
        assert ask() == 3
        assert type(error).__name__ in session.record.lines()[0].notes[0]


def test_a_current_folder_that_was_removed_keeps_no_session_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    session = start(TIMING)
    try:
        assert ask() == 0
        assert session.folder.is_relative_to(tmp_path)
    finally:
        session.close()
        set_current(None)


def test_no_thread_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with session_of("stall", tmp_path, default_answer=3) as session:

        def refuse(_self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            assert ask() == 3
        assert "nobody can work at it" in session.record.lines()[0].notes[0]


# --- the clock ----------------------------------------------------------------------------------


def test_once_the_time_is_over_all_that_come_are_answered_within_the_margin(
    tmp_path: Path,
) -> None:
    settings = {"limit_s": 48.0, "margin_s": 8.0, "elapsed_s": 42.0}
    with session_of("mute", tmp_path, **settings) as session:
        for number in range(40):
            ask(f"p{number}")
        assert session.clock.elapsed_s < 48.0
        assert len(session.record) == 40


def test_no_call_but_the_first_takes_longer_than_the_gateway_waits(tmp_path: Path) -> None:
    with session_of("overtime", tmp_path, limit_s=18_000.0, margin_s=None, problems=2) as session:
        bounds = []
        for number in range(2):
            within_s = session._call_s()
            most_s = session._allowance(within_s).most_s
            bounds.append(most_s + session._grace_s(within_s - most_s))
            session.record.add(
                AnswerLine(key=f"{number}", id="", answer=1, rung="vote", seconds=1, left_s=1)
            )
        assert bounds[0] > 3_600
        assert bounds[1] <= session.settings.call_limit_s


def test_the_rows_of_a_call_share_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [f"p{number}" for number in range(4)]
    with session_of("no-start", tmp_path, call_limit_s=120.0, **TIMING) as session:
        ask("first")
        shares: list[float] = []
        answer = session.answer

        def noted(asked: Asked, within_s: float, *, wait: bool) -> Choice:
            shares.append(within_s)
            return answer(asked, within_s, wait=wait)

        monkeypatch.setattr(session, "answer", noted)
        frame = predict(pl.Series("id", ids), pl.Series("problem", [PROBLEM] * 4))
        assert frame["id"].to_list() == ids
    # what the first did not need is the others'
    assert shares == pytest.approx([30, 40, 60, 120], abs=10)


# --- the server ---------------------------------------------------------------------------------


def test_fields_that_the_server_refuses_are_left_out(tmp_path: Path) -> None:
    with session_of("picky", tmp_path, solve={"max_turns": 0}) as session:
        assert ask() == 21
        assert rung(session) == "vote"
        assert any("422" in note for note in session.record.lines()[0].notes)


def test_the_server_is_told_of_every_answer_and_its_rung(tmp_path: Path) -> None:
    path = tmp_path / "told.jsonl"

    def told() -> list[dict[str, Any]]:
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    with session_of("stall", tmp_path, default_answer=3) as session:
        ask()
        ask("b2", "")
        wait_until(lambda: len(told()) == 2)
        solves = [line.solve for line in session.record.lines()]
    assert [(each["problem_id"], each["answer"], each["rung"]) for each in told()] == [
        ("a1", "9", "ballot"),
        ("b2", "3", "default"),
    ]
    assert [each["solve"] or "" for each in told()] == solves == ["s1", ""]
    # a notebook that is started again tells a server, which may be another one, all of it
    with session_of("stall", tmp_path):
        wait_until(lambda: len(told()) == 4)
