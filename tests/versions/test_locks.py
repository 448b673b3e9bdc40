"""The locks of both ends, and the environments made from them."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.versions import run
from tests.versions.run import HERE, NAMES, environment_path


def locked(name: str) -> dict[str, str]:
    """Package -> version in a lock."""
    text = (HERE / f"{name}.txt").read_text()
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE))


def test_the_old_end_is_what_kaggle_has() -> None:
    versions = locked("kaggle")
    assert {name: versions[name] for name in ("ipykernel", "ipython", "jupyter-client")} == {
        "ipykernel": "6.17.1",
        "ipython": "7.34.0",
        "jupyter-client": "7.4.9",
    }
    assert versions["pyzmq"].startswith("26.2.")


def test_the_new_end_is_a_major_version_or_more_ahead() -> None:
    old, new = locked("kaggle"), locked("newest")
    for name in ("ipykernel", "ipython", "jupyter-client", "pyzmq"):
        assert int(new[name].split(".")[0]) > int(old[name].split(".")[0]), name


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_has_hashes_and_no_host(name: str) -> None:
    text = (HERE / f"{name}.txt").read_text()
    assert "://" not in text
    assert not re.search(r"^\S+==[^\\]*$", text, re.MULTILINE), "a package without hashes"


def test_an_environment_without_an_index_is_skipped_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Everything that a user's configuration could reach is taken away.
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    monkeypatch.setattr(run, "user_cache_path", lambda _: tmp_path / "cache")
    assert run.run_suite("kaggle", []) == 0
    assert "SKIPPED, no package index" in capsys.readouterr().out
    assert list((tmp_path / "cache" / "versions").iterdir()) == []


def test_a_made_environment_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "user_cache_path", lambda _: tmp_path)
    folder = environment_path("kaggle")
    folder.mkdir(parents=True)
    (folder / ".done").touch()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("nothing is installed again")

    monkeypatch.setattr(subprocess, "run", refuse)
    assert run.make_environment("kaggle") == folder / "bin" / "python"
