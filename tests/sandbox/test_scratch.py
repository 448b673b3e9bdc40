"""Temporary folders: what a killed owner leaves is removed, and nothing else ever is."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.directory import PoolDirectory
from sandbox.scratch import LOCK_FILE, ScratchFolder, sweep

ROOT = Path(__file__).resolve().parents[2]
OWNER = """
import sys
from pathlib import Path
from sandbox.scratch import ScratchFolder
folder = ScratchFolder(Path(sys.argv[1]))
(folder.path / "1" / "home").mkdir(parents=True)
(folder.path / "1" / "home" / "file").write_text("x")
print(folder.path, flush=True)
sys.stdin.read()
"""


@contextmanager
def owner(parent: Path) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """Run a process that has a folder; kill it at the end, if it still lives."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(parent)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def left_folder(parent: Path) -> Path:
    """Return a folder whose owner was killed."""
    with owner(parent) as (process, folder):
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    return folder


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_the_folder_of_a_living_process_stays_and_that_of_a_killed_one_goes(tmp_path: Path) -> None:
    with owner(tmp_path) as (process, folder):
        assert sweep(tmp_path) == []
        assert (folder / "1" / "home" / "file").exists()
        process.kill()
        process.wait(timeout=30)
        assert sweep(tmp_path) == [folder]
    assert entries(tmp_path) == []


def test_a_living_folder_of_this_process_stays(tmp_path: Path) -> None:
    with ScratchFolder(tmp_path, "engine-") as folder:
        assert sweep(tmp_path) == []
        assert folder.path.name.startswith("quorum-engine-")
        assert folder.path.stat().st_mode & 0o777 == 0o700
    assert entries(tmp_path) == []


def test_a_child_that_outlives_its_parent_does_not_keep_the_folder(tmp_path: Path) -> None:
    folder = ScratchFolder(tmp_path)
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        folder.release()
        assert sweep(tmp_path) == [folder.path]
        child.kill()


async def test_a_pool_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    left_folder(tmp_path)
    async with PoolDirectory(tmp_path) as directory:
        (own,) = entries(tmp_path)
        assert directory.kernel_directory().path.parent == own
    assert entries(tmp_path) == []


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    left = left_folder(tmp_path)
    other = left.rename(tmp_path / "other")
    unmarked = tmp_path / "quorum-unmarked"
    unmarked.mkdir()
    (unmarked / "result").touch()
    (tmp_path / "quorum-file").touch()
    assert sweep(tmp_path) == []
    assert entries(tmp_path) == sorted([other, unmarked, tmp_path / "quorum-file"])
    assert (other / "1" / "home" / "file").exists()


@pytest.mark.parametrize("what", ["folder", "lock", "content"])
def test_symbolic_links_are_not_followed(what: str, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / LOCK_FILE).touch()
    (precious / "file").touch()
    parent = tmp_path / "temporary"
    parent.mkdir()
    if what == "folder":
        (parent / "quorum-link").symlink_to(precious)
    elif what == "lock":
        (parent / "quorum-x").mkdir()
        (parent / "quorum-x" / LOCK_FILE).symlink_to(precious / LOCK_FILE)
    else:
        left = left_folder(parent)
        (left / "1" / "link").symlink_to(precious)
        (left / "2").symlink_to(precious)
    swept = sweep(parent)
    assert bool(swept) == (what == "content")
    assert sorted(path.name for path in precious.iterdir()) == ["file", LOCK_FILE]


def test_a_pipe_in_the_place_of_the_lock_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "quorum-x").mkdir()
    os.mkfifo(tmp_path / "quorum-x" / LOCK_FILE)
    assert sweep(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_folders_of_other_users_stay(tmp_path: Path) -> None:
    left = left_folder(tmp_path)
    os.chown(left, 12_345, 12_345)
    assert sweep(tmp_path) == []
    assert (left / "1" / "home" / "file").exists()


def test_what_cells_do_to_their_folders_is_no_hindrance(tmp_path: Path) -> None:
    left = left_folder(tmp_path)
    deep = left / "1" / "home"
    here = Path.cwd()
    try:
        os.chdir(deep)
        for _ in range(1_500):
            Path("d").mkdir()
            os.chdir("d")
    finally:
        os.chdir(here)
    (left / "2" / "locked").mkdir(parents=True)
    (left / "2" / "locked" / "file").touch()
    (left / "2" / "locked").chmod(0)
    assert sweep(tmp_path) == [left]
    assert entries(tmp_path) == []


def test_sweeps_at_once_and_new_folders_do_not_disturb_each_other(tmp_path: Path) -> None:
    start = threading.Barrier(5)
    failed: list[str] = []

    def live() -> None:
        start.wait()
        for _ in range(200):
            with ScratchFolder(tmp_path) as folder:
                (folder.path / "file").touch()
                if not (folder.path / LOCK_FILE).exists():
                    failed.append(str(folder.path))

    def clean() -> None:
        start.wait()
        for _ in range(200):
            sweep(tmp_path)

    threads = [threading.Thread(target=target) for target in (live, live, clean, clean, clean)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert entries(tmp_path) == []
