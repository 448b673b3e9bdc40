"""What the serving cell finds of the contest, wherever the inputs are mounted."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kaggle_notebook.current import set_current
from kaggle_notebook.errors import KaggleError
from kaggle_notebook.predict import predict as answered
from kaggle_notebook.reserve import FILE
from kaggle_notebook.serve import _package_folder, data_paths, main
from kaggle_notebook.settings import read_settings
from kaggle_notebook.start import start
from tests.kaggle_notebook.notebooks import SITE, write_problems
from tests.server.journal.disks import fill, mounted

CONTEST = "competitions/ai-mathematical-olympiad-progress-prize-3"


def put_contest(folder: Path) -> Path:
    (folder / "kaggle_evaluation").mkdir(parents=True)
    (folder / "kaggle_evaluation" / "aimo_3_inference_server.py").touch()
    (folder / "test.csv").write_text("id,problem\n0,How many?\n")
    (folder / "reference.csv").write_text("id,problem,answer\n0,How many?,1\n")
    return folder


@pytest.mark.parametrize("mount", ["contest", CONTEST, "a/b/c/d/e/f"])
def test_package_and_data_are_found_below_the_inputs_that_the_notebook_names(
    tmp_path: Path, mount: str
) -> None:
    contest = put_contest(tmp_path / mount)
    settings = read_settings({"inputs": str(tmp_path)})
    assert _package_folder(settings) == contest
    assert data_paths(settings) == (str(contest / "test.csv"),)
    scored = read_settings({"inputs": str(tmp_path), "mode": "fixed-set"})
    assert data_paths(scored) == (str(contest / "reference.csv"),)


def test_another_data_set_s_file_of_that_name_is_not_taken_for_the_contest_s(
    tmp_path: Path,
) -> None:
    (tmp_path / "another").mkdir()
    (tmp_path / "another" / "test.csv").write_text("id,problem\n1,Why?\n")
    settings = read_settings({"inputs": str(tmp_path)})
    assert data_paths(settings) == (str(tmp_path / "another" / "test.csv"),)
    contest = put_contest(tmp_path / CONTEST)
    assert data_paths(settings) == (str(contest / "test.csv"),)


def test_what_is_not_there_is_told_with_the_place(tmp_path: Path) -> None:
    settings = read_settings({"inputs": str(tmp_path)})
    for look in (_package_folder, data_paths):
        with pytest.raises(KaggleError, match=f"not below {tmp_path}|is below {tmp_path}"):
            look(settings)


def test_a_disk_that_is_full_at_the_end_has_room_for_the_submission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_problems(tmp_path, {f"p{n}": "How many?" for n in range(3)})
    monkeypatch.syspath_prepend(str(SITE))
    with mounted(tmp_path / "disk") as disk, monkeypatch.context() as patch:
        patch.chdir(disk)

        def predict(*arguments: Any) -> Any:  # noqa: ANN401 - as the gateway sends it
            frame = answered(*arguments)
            if not (disk / "log").exists():
                fill(disk / "log")
            return frame

        given = {"mode": "timing", "timing_s": 0, "data": str(tmp_path / "problems.csv")}
        start({**given, "folder": str(disk / "session")})
        try:
            main(predict)
        finally:
            set_current(None)
        assert sorted(pl.read_parquet("submission.parquet")["id"]) == ["p0", "p1", "p2"]
        assert not (disk / "session" / FILE).exists()
