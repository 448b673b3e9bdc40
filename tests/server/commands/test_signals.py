"""Which signals end the gateway in order."""

import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest
from sse_starlette.sse import AppStatus

from server.commands.serve import Gateway, listen
from server.settings import load_settings


@pytest.fixture(autouse=True)
def streams_go_on() -> Iterator[None]:
    """sse-starlette ends the streams of the whole process once a server of it is told to end."""
    yield
    AppStatus.should_exit = False


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    settings = load_settings({"gateway.port": 0, "engine.kind": "none"})
    with listen(settings.gateway) as listener:
        yield Gateway(settings, listener, None)


@pytest.fixture
def hang_ups() -> Iterator[list[int]]:
    """What the process is told of hang-ups, but for those that the gateway takes."""
    told: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, _frame: told.append(number))
    yield told
    signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_ends_it_in_order(gateway: Gateway, hang_ups: list[int]) -> None:
    with gateway.capture_signals():
        signal.raise_signal(signal.SIGHUP)
        assert gateway.should_exit
        assert hang_ups == [], "it has not ended yet"
    assert hang_ups == [signal.SIGHUP], "its parent is told why it ended"


def test_where_hang_ups_are_ignored_it_goes_on(gateway: Gateway) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with gateway.capture_signals():
            signal.raise_signal(signal.SIGHUP)
            assert not gateway.should_exit
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_former_handler_is_back_after_an_error(gateway: Gateway, hang_ups: list[int]) -> None:
    with suppress(ZeroDivisionError), gateway.capture_signals():
        raise ZeroDivisionError
    signal.raise_signal(signal.SIGHUP)
    assert hang_ups == [signal.SIGHUP]
