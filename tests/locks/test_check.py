"""The check of the locks finds what is wrong with one; no package index is needed for that."""

import re
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.locks.check import HEAVY, ROOT, Verdict, check, differences, main, parsed

LOCK = """\
# a comment
lzma-x==1.0 ; sys_platform == 'linux' \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via something
numbers==2.5 \\
    --hash=sha256:cc
"""


def test_a_lock_is_read_with_markers_and_hashes() -> None:
    assert parsed(LOCK) == {
        "lzma-x==1.0 ; sys_platform == 'linux'": {"sha256:aa", "sha256:bb"},
        "numbers==2.5": {"sha256:cc"},
    }


@pytest.mark.parametrize("name", HEAVY)
def test_real_locks_are_read_whole(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    pins = parsed(text)
    assert sum(map(len, pins.values())) == text.count("--hash=sha256:")
    assert len(pins) == len(re.findall(r"^[A-Za-z0-9._-]+(?:\[.*?\])?==", text, re.MULTILINE))


def test_new_files_of_a_version_are_no_fault() -> None:
    fresh = LOCK.replace("--hash=sha256:cc", "--hash=sha256:cc --hash=sha256:dd")
    assert differences(LOCK, fresh) == []


@pytest.mark.parametrize(
    ("fresh", "says"),
    [
        (LOCK.replace("sha256:cc", "sha256:ee"), "numbers==2.5: a locked file is not published"),
        (LOCK.replace("2.5", "2.6"), "numbers==2.6: needed, and not in the lock"),
        (LOCK.replace("linux", "win32"), "not with these markers"),
        (LOCK + "more==1 --hash=sha256:ff\n", "more==1: needed, and not in the lock"),
    ],
)
def test_what_has_changed_is_found(fresh: str, says: str) -> None:
    assert any(says in each for each in differences(LOCK, fresh))


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have an index that nobody listens for, and no cache."""
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")


@pytest.mark.usefixtures("nowhere")
def test_without_an_index_it_says_so_and_nothing_has_failed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["kaggle"]) == 0
    assert capsys.readouterr().out == "kaggle: not checked: no package index can be reached\n"


@pytest.fixture
def empty_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Have an index that answers, and knows no package."""
    folder = tmp_path / "index"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("empty_index")
def test_a_lock_that_does_not_resolve_has_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("httpx==0.28.1 --hash=sha256:" + "0" * 64)
    assert check("own", lock, [], []) is Verdict.FAILED
    assert "not found" in capsys.readouterr().out
