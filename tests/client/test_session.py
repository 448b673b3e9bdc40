"""Which server a command works with, and how it ends when a signal comes."""

import os
import signal
import socket
import sys

import anyio
import pytest

from client import session as module
from client.errors import ConnectionLost, ServerBroken, ServerUnreachable
from client.groups import collapsed
from client.interrupts import interruptible
from client.live import SolveClock
from client.schema import PART_FAILED
from client.session import ServerChoice, is_quorum, session
from tests.client.recorded_server import RecordedServer
from tests.client.test_http import dropping
from tests.client.test_local_server import ROOT, SERVE


def ignore(_waiting: str) -> None:
    pass


async def test_the_server_of_this_machine_is_used(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "local_url", lambda: url)
    no_command = [sys.executable, "-c", "raise SystemExit('must not be started')"]
    async with session(ServerChoice(command=no_command), ignore) as client:
        assert client.url == url


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"])
async def test_something_else_at_the_default_address_is_left_alone(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with dropping(answer) as (other, _requests):
        monkeypatch.setattr(module, "local_url", lambda: other)
        assert not await is_quorum(other)
        async with session(ServerChoice(command=SERVE), ignore) as client:
            assert client.url != other


async def test_settings_need_a_server_of_their_own(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(module, "local_url", lambda: url)
    choice = ServerChoice(command=SERVE, arguments=["--pace=0"])
    async with session(choice, ignore) as client:
        assert client.url != url


async def test_a_server_that_failed_for_good_is_not_waited_for(
    server: RecordedServer, url: str
) -> None:
    server.ready_after = 1_000
    server.unready_state = PART_FAILED
    with pytest.raises(ServerBroken, match="engine: failed"), anyio.fail_after(5):
        async with session(ServerChoice(url=url), ignore):
            pytest.fail("it cannot be ready")
    assert server.seen["ready"] == 1


async def test_a_probe_of_something_silent_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROBE_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, anyio.fail_after(5):
        assert not await is_quorum(f"http://127.0.0.1:{silent.getsockname()[1]}")


async def test_a_named_server_must_answer(unused_url: str) -> None:
    with pytest.raises(ServerUnreachable):
        async with session(ServerChoice(url=unused_url), ignore):
            pytest.fail("there is none")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_cancels_and_a_second_one_hurries(number: signal.Signals) -> None:
    torn_down = False
    async with interruptible() as interruption:
        try:
            os.kill(os.getpid(), number)
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True), anyio.fail_after(10):
                assert not interruption.impatient.is_set()
                os.kill(os.getpid(), number)
                await interruption.impatient.wait()
                torn_down = True
    assert torn_down
    assert interruption.exit_code == 128 + number


async def test_without_a_signal_nothing_happens() -> None:
    async with interruptible() as interruption:
        await anyio.lowlevel.checkpoint()
    assert interruption.exit_code is None


async def test_errors_pass_as_they_are() -> None:
    with pytest.raises(ConnectionLost) as caught:
        async with interruptible():
            raise ConnectionLost("cut") from OSError("reset")
    assert isinstance(caught.value.__cause__, OSError)


def test_groups_of_several_errors_stay_groups() -> None:
    group = ExceptionGroup("g", [ValueError("a"), ValueError("b")])
    with pytest.raises(ExceptionGroup) as caught, collapsed():
        raise group
    assert caught.value is group


def test_the_clock_goes_on_between_events() -> None:
    now = 100.0
    clock = SolveClock(lambda: now)
    assert clock.at == 0.0
    clock.note(2.0)
    now = 103.0
    assert clock.at == 5.0
    clock.note(4.0)  # this event was delayed by a second
    assert clock.at == 5.0
    clock.note(5.5)  # this one came faster than the first
    assert clock.at == 5.5
