"""Paths and caches that cannot be used are told in a sentence, by the real command."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.weights import CacheUnusable, commands
from server.weights.cache import resolve
from server.weights.errors import WeightsDamaged
from server.weights.pull import pull
from tests.server.weights.conftest import CONTENT, KNOWN

ROOT = Path(__file__).resolve().parents[3]
#: Longer than a name may be on any file system (255 bytes).
TOO_LONG = "x" * 300
NOBODY = 65_534


def quorum(*arguments: str, cache: str) -> tuple[int, str]:
    """Run `quorum weights …` and return its exit code and what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "client.main", "weights", *arguments],
        cwd=ROOT,
        env={**os.environ, "QUORUM_CACHE": cache},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    return done.returncode, done.stderr


@contextmanager
def hidden(folder: Path) -> Iterator[None]:
    """Take away all rights to a folder, of root too."""
    folder.chmod(0)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(NOBODY)
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o700)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("~nosuch/x", "there is no such user's home; give another path"),
        (TOO_LONG, "cannot be read (File name too long); give the path of"),
        ("/dev/null", "no such file; give the path of"),
        ("/dev/null/x", "no such file; give the path of"),
    ],
)
def test_files_that_cannot_be_given(path: str, says: str, tmp_path: Path) -> None:
    code, told = quorum("pull", "--path", path, cache=str(tmp_path))
    assert code == 1
    assert told.startswith("quorum: ")
    assert told.count("\n") == 1
    assert says in told


@pytest.mark.parametrize("command", ["pull", "list"])
@pytest.mark.parametrize("cache", ["~nosuch/x", f"/tmp/{TOO_LONG}"])
def test_caches_that_cannot_be_used(command: str, cache: str) -> None:
    code, told = quorum(command, cache=cache)
    assert code == 1
    assert told.startswith("quorum: ")
    assert told.count("\n") == 1
    assert "QUORUM_CACHE" in told


def test_a_cache_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    (cache / "weights").mkdir(parents=True)
    (cache / "weights" / "tiny.gguf").write_bytes(CONTENT)
    monkeypatch.setenv("QUORUM_CACHE", str(cache))
    monkeypatch.setattr(commands, "KNOWN", KNOWN)
    calls = (
        commands.list_command,
        lambda: resolve("tiny", known=KNOWN),
        lambda: pull("tiny", known=KNOWN, sources=[]),
    )
    with hidden(cache):
        for call in calls:
            with pytest.raises(
                CacheUnusable, match=r"weights: cannot be \w+ \(Permission denied\)"
            ):
                call()


def test_a_given_file_that_may_not_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "tiny.gguf").write_bytes(CONTENT)
    with hidden(folder), pytest.raises(WeightsDamaged, match=r"cannot be read \(Permission denied"):
        pull("tiny", path=folder / "tiny.gguf", folder=tmp_path / "cache", known=KNOWN)
