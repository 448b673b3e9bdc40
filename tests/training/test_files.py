"""Outputs that are whole or not there, and go on where they were stopped, whenever that was."""

import resource
from pathlib import Path

import pytest

from training import errors, files

JOB = {"step": "a job with a description that is longer than a few bytes"}


def test_a_job_whose_description_a_full_disk_has_cut_goes_on(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))
    try:
        with (
            pytest.raises(errors.OutputFailed, match="it goes on where it was"),
            files.whole_folder(tmp_path / "out", JOB),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with files.whole_folder(tmp_path / "out", JOB) as work:
        (work / "made").touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["made"]


@pytest.mark.parametrize("call", [0, 1])
def test_a_job_that_is_stopped_while_its_folder_gets_its_name_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    sync, seen = files.sync, list[Path]()

    def stopping(path: Path) -> None:
        seen.append(path)
        if len(seen) == call + 1:
            raise KeyboardInterrupt
        sync(path)

    def make() -> None:
        with files.whole_folder(tmp_path / "out", JOB) as work:
            (work / "made").touch()
            monkeypatch.setattr(files, "sync", stopping)

    with pytest.raises(KeyboardInterrupt):
        make()
    monkeypatch.setattr(files, "sync", sync)
    if not (tmp_path / "out").exists():
        with files.whole_folder(tmp_path / "out", JOB) as work:
            assert (work / "made").exists()
    assert (tmp_path / "out" / "made").exists()


@pytest.mark.parametrize("name", [".", "..", "/"])
def test_a_folder_that_is_there_is_refused_as_an_output(name: str) -> None:
    with (
        pytest.raises(errors.OutputExists, match="is there already"),
        files.whole_folder(Path(name), JOB),
    ):
        pass
    with pytest.raises(errors.OutputFailed, match="is a folder"), files.whole_file(Path(name)):
        pass
