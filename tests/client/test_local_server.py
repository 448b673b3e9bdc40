"""A server as a child: real processes, real deaths."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import psutil
import pytest

from client import local_server as module
from client.errors import ConnectionLost, LocalServerFailed, RequestRefused, ServerTimeout
from client.http import AsyncQuorumClient
from client.local_server import local_server, serve_command
from client.schema import ProblemDetails, SolveRequest
from client.session import ServerChoice, session
from client.solving import follow

ROOT = Path(__file__).resolve().parents[2]
SERVE = (sys.executable, "-m", "tests.client.serve_recorded")


@pytest.fixture(autouse=True)
def nothing_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Run in the repository, logs in a folder of the test's; no child survives the test."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield
    assert children() == []


def children() -> list[psutil.Process]:
    """Return the servers that this process started; other tests may keep kernels."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if SERVE[-1] in child.cmdline():
                found.append(child)
    return found


async def test_a_server_is_started_and_stopped(tmp_path: Path) -> None:
    async with local_server(command=SERVE) as server:
        async with AsyncQuorumClient(server.url) as client:
            assert (await client.health()).status == "ok"
        (child,) = children()
        assert os.getpgid(child.pid) == child.pid, "it must lead its own group"
        assert logs(tmp_path) == [server.log]
    assert not child.is_running()
    assert logs(tmp_path) == [], "it is only of interest after a failure"


@pytest.mark.parametrize(
    "error",
    [
        BrokenPipeError(),
        RequestRefused(ProblemDetails(title="Unprocessable", status=422, detail="strategy 'x'")),
    ],
)
async def test_the_log_of_a_server_that_did_nothing_wrong_is_deleted(
    error: Exception, tmp_path: Path
) -> None:
    with pytest.raises(type(error)):
        async with local_server(command=SERVE):
            raise error
    assert logs(tmp_path) == []


def logs(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_cancelling_stops_it() -> None:
    with anyio.CancelScope() as scope:
        async with local_server(command=SERVE):
            scope.cancel()
            await anyio.sleep_forever()
    assert children() == []


async def test_cancelling_the_start_stops_it() -> None:
    with anyio.move_on_after(0.5) as scope:
        async with local_server(["mute"], SERVE, impatient=set_event()):
            pytest.fail("it never says that it listens")
    assert scope.cancelled_caught


def set_event() -> anyio.Event:
    event = anyio.Event()
    event.set()
    return event


async def test_death_before_listening_shows_the_log() -> None:
    with pytest.raises(LocalServerFailed, match=r"before it listened \(exit code 1\)") as caught:
        async with local_server(["die"], SERVE):
            pytest.fail("it died")
    assert "weights are missing" in caught.value.__notes__[0]


async def test_a_command_that_does_not_exist() -> None:
    with pytest.raises(LocalServerFailed, match="cannot be started"):
        async with local_server(command=["./no-such-program"]):
            pytest.fail("there is none")


async def test_nonsense_instead_of_the_ready_line() -> None:
    with pytest.raises(LocalServerFailed, match="wrote nonsense"):
        async with local_server(["nonsense"], SERVE):
            pytest.fail("its line is not of the protocol")


async def test_silence_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LISTEN_TIMEOUT_S", 0.2)
    with pytest.raises(LocalServerFailed, match=r"did not listen within 0.2 s"):
        async with local_server(["mute"], SERVE, impatient=set_event()):
            pytest.fail("it never says that it listens")


async def test_one_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_TIMEOUT_S", 0.2)
    async with local_server(["stubborn"], SERVE):
        (child,) = children()
    assert not child.is_running()


async def test_an_impatient_user_does_not_wait() -> None:
    impatient = anyio.Event()
    with anyio.fail_after(10):
        async with local_server(["stubborn"], SERVE, impatient):
            impatient.set()


async def test_a_session_waits_until_the_server_is_ready() -> None:
    heard: list[str] = []
    async with session(ServerChoice(command=SERVE, arguments=["--pace=0"]), heard.append) as client:
        result = await follow(client, SolveRequest(problem="sum"), lambda _event: None)
    assert result.answer == "42"
    assert heard == ["starting a server", *["engine: loading (weights)"] * 2]


async def test_the_wait_for_readiness_is_bounded() -> None:
    choice = ServerChoice(command=SERVE, arguments=["--ready-after=9999"], ready_timeout_s=3.0)
    with pytest.raises(ServerTimeout, match=r"engine: loading \(weights\)") as caught:
        async with session(choice, lambda _waiting: None):
            pytest.fail("it is not ready")
    assert "its log: " in caught.value.__notes__[0]


async def test_death_in_a_solve_is_explained() -> None:
    choice = ServerChoice(command=SERVE, arguments=["die-later"])
    with pytest.raises(LocalServerFailed, match=r"died \(exit code 9\)") as caught:
        async with session(choice, lambda _waiting: None) as client:
            await follow(client, SolveRequest(problem="sum"), lambda _event: None)
    assert "asked to solve sum: out of memory" in caught.value.__notes__[0]
    assert isinstance(caught.value.__cause__, ConnectionLost)


CLIENT_THAT_IS_KILLED = """
import anyio, sys
from client.local_server import local_server
async def main():
    async with local_server(command=[sys.executable, "-m", "tests.client.serve_recorded"]) as it:
        async with __import__("client.http").http.AsyncQuorumClient(it.url) as client:
            print(it._process.pid, flush=True)
            await anyio.sleep_forever()
anyio.run(main)
"""


def test_it_dies_with_a_client_that_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CLIENT_THAT_IS_KILLED], stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        server = psutil.Process(int(client.stdout.readline()))
        client.send_signal(signal.SIGKILL)
    gone, alive = psutil.wait_procs([server], timeout=10)
    assert (gone, alive) == ([server], [])


def test_the_command_is_quorum_s_own() -> None:
    command = serve_command()
    assert command[0] == sys.executable
    assert command[-4:] == ["client.main", "serve", "--gateway-port", "0"]


async def test_without_a_temporary_folder_it_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(LocalServerFailed, match=r"no log .*; set TMPDIR"):
        async with local_server():
            pytest.fail("it has nowhere to log to")
