"""What the commands exit with where nothing was started, and the user's words are at fault."""

import shlex
from pathlib import Path

import pytest

from client.main import main


@pytest.mark.parametrize(
    "line",
    [
        "eval run --set nope",
        "journal ls --since nan",
        "journal prune --keep-days nan",
        "keys add ''",
        "models nope",
        "serve --gateway-host ''",
        "serve --gateway-port nan",
        "serve --solve-strategy bogus",
        "weights pull nope",
    ],
)
def test_words_that_cannot_work_are_wrong_usage(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUORUM_CACHE", str(tmp_path))
    assert main(shlex.split(line)) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_what_is_asked_for_and_not_there_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["journal", "ls", "--journal", str(tmp_path / "none.sqlite")]) == 1
    assert "there is no such file" in capsys.readouterr().err
