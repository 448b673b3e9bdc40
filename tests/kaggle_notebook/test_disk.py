"""`predict` where its disk is full, slow, torn or another session's."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from kaggle_notebook import files
from kaggle_notebook.files import read_json, writable_folder
from kaggle_notebook.record import AnswerLine, AnswerRecord
from kaggle_notebook.supervised import source_root
from tests.kaggle_notebook.test_predict import TIMING, ask, session_of, wait_until


@pytest.mark.parametrize("name", ["answers.jsonl", "session.log", "fallback.json"])
def test_a_file_that_never_answers_costs_seconds_and_no_answer(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with session_of("stall", tmp_path) as session:
        assert ask() == 9
        assert ask("b2") == 9
        assert {line.rung for line in session.record.lines()} == {"ballot"}


@pytest.mark.parametrize("names", [("clock.json",), ("session.json",)])
@pytest.mark.parametrize("content", [b"", b'{"id": "kag', b"[]", b"\xff\x00"])
def test_of_two_files_one_may_be_torn(
    tmp_path: Path, names: tuple[str, ...], content: bytes
) -> None:
    with session_of("no-start", tmp_path, default_answer=5, **TIMING) as session:
        ask()
        kept, started = session.id, session.clock.started
    for name in names:
        (tmp_path / name).write_bytes(content)
    with session_of("no-start", tmp_path, default_answer=6, **TIMING) as session:
        assert (session.id, session.clock.started) == (kept, started)
        assert ask() == 5


#: No file takes a byte, wherever it is: as on a machine whose only disk is full.
FULL = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
from kaggle_notebook.files import temporary_folder
from kaggle_notebook.predict import predict
from kaggle_notebook.start import start
settings = {"mode": "timing", "timing_s": 0, "default_answer": 7, "folder": sys.argv[1]}
session = start(settings)
frame = predict("a1", "What?")
print(json.dumps([str(session.folder), int(frame["answer"][0]), str(temporary_folder())]))
"""


def test_a_machine_that_takes_no_byte_at_the_start_still_answers(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "session")],
        cwd=source_root(),
        capture_output=True,
        text=True,
        check=True,
    )
    folder, answer, temporary = json.loads(done.stdout)
    assert (folder, answer) == (str(tmp_path / "session"), 7)
    # memory is asked for what no disk takes
    assert temporary == "/dev/shm"


def test_a_folder_is_found_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object, **__: object) -> str:
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(tempfile, "TemporaryFile", none)
    monkeypatch.setattr(files, "SHARED_MEMORY", tmp_path / "none")
    (tmp_path / "file").touch()
    assert writable_folder(tmp_path / "file" / "below" / "session") == tmp_path


def test_what_a_full_disk_had_no_room_for_at_the_start_is_written_later(tmp_path: Path) -> None:
    # a folder in the file's place: it cannot be written, whoever asks
    blocked = tmp_path / f"clock.json.{os.getpid()}.new"
    blocked.mkdir()
    with session_of("no-start", tmp_path, default_answer=5, **TIMING) as session:
        kept = session.id
        ask()
        assert read_json(tmp_path / "session.json") is None
        blocked.rmdir()
        ask("b2")
        wait_until(lambda: session.unkept is None)
    with session_of("no-start", tmp_path, default_answer=6, **TIMING) as session:
        assert session.id == kept
        assert [ask(), ask("b2")] == [5, 5]


def test_answers_of_another_session_are_not_taken_for_its_own(tmp_path: Path) -> None:
    stale = AnswerLine(
        key="a1", id="a1", answer=77, rung="vote", seconds=1, left_s=1, session="kaggle-other"
    )
    AnswerRecord(tmp_path).add(stale)
    (tmp_path / "earlier").write_text("a file, so that nothing can be moved there")
    with session_of("no-start", tmp_path, default_answer=5, **TIMING):
        assert ask() == 5


NONSENSE: list[object] = [
    [], 5, "text", None, {"runs": []}, {"runs": {"R": None}}, {"runs": {"R": {"problems": "a1"}}},
    {"runs": {"R": {"problems": {"a1": []}}}}, {"runs": {"R": {"problems": {"a1": {}}}}},
    {"runs": {"R": {"problems": {"a1": {"answer": {}, "rung": []}}}}},
    {"runs": {"R": {"problems": {"a1": {"answer": "1" * 9_000, "rung": "vote"}}}}},
    {"runs": {"R": {"problems": {"a1": {"answer": "-3", "rung": "vote"}}}}},
    {"runs": {"R": {"problems": {"a1": {"answer": True, "rung": "vote"}}}}},
    {"runs": {"another": {"problems": {"a1": {"answer": "77", "rung": "vote"}}}}},
]  # fmt: skip


def test_nonsense_and_other_runs_in_the_fallback_are_no_answer(tmp_path: Path) -> None:
    settings = {"default_answer": 3, "limit_s": 1.0, "margin_s": 0.5, "elapsed_s": 0.5}
    with session_of("no-start", tmp_path, **settings) as session:
        for number, value in enumerate(NONSENSE):
            text = json.dumps(value).replace('"R"', json.dumps(session.id))
            (tmp_path / "fallback.json").write_text(text.replace('"a1"', f'"p{number}"'))
            assert ask(f"p{number}") == 3
        (tmp_path / "fallback.json").write_text('{"runs": {"' + session.id)
        assert ask("torn") == 3
        good = {"answer": "77", "rung": "ballot"}
        runs = {session.id: {"problems": {"good": good}}}
        (tmp_path / "fallback.json").write_text(json.dumps({"runs": runs}))
        assert ask("good") == 77
