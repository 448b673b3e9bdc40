"""The `weights` commands and the bar."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from server.weights import UnknownModel, commands
from server.weights.progress import ProgressBar
from tests.server.weights.conftest import CONTENT, KNOWN


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the cache's root; the tiny weights are the only ones known."""
    monkeypatch.setenv("QUORUM_CACHE", str(tmp_path))
    monkeypatch.setattr(commands, "KNOWN", KNOWN)
    (tmp_path / "weights").mkdir()
    return tmp_path


def listed() -> str:
    result = CliRunner().invoke(commands.app, ["list"])
    assert result.exit_code == 0
    return result.output


def test_the_list_says_what_is_here(cache: Path) -> None:
    target = cache / "weights" / "tiny.gguf"
    assert f"tiny  132.1 kB  none  not here\ncache: {target.parent}" in listed()
    partial = target.with_name("tiny.gguf.partial")
    partial.write_bytes(CONTENT[:5000])
    assert "partly here (5.0 kB): pull again to go on" in listed()
    target.write_bytes(CONTENT)
    assert "here, not checked yet" in listed()
    target.write_bytes(CONTENT[1:])
    assert "damaged: pull again" in listed()


def test_an_unknown_name_is_an_error_for_the_user(cache: Path) -> None:
    result = CliRunner().invoke(commands.app, ["pull", "other"])
    assert isinstance(result.exception, UnknownModel)
    assert result.exception.is_user_error
    assert result.exception.exit_code == 2
    assert not list((cache / "weights").iterdir())


def test_the_bar_shows_bytes_and_only_goes_forward() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=120)
    with ProgressBar(console) as progress:
        progress.begin("from somewhere", 10_000_000, 4_000_000)
        progress.at(6_000_000)
        progress.at(5_000_000)
        progress._progress.refresh()
        progress.note("worth [a] line")
        progress.end()
    assert "6.0/10.0 MB" in written.getvalue()
    assert "worth [a] line" in written.getvalue()


def test_without_a_terminal_each_step_is_one_line() -> None:
    written = io.StringIO()
    with ProgressBar(Console(file=written, force_terminal=False, width=80)) as progress:
        progress.begin("from somewhere", 100, 0)
        progress.at(50)
        progress.end()
    assert written.getvalue() == "from somewhere\n"
