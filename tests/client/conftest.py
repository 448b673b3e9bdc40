"""Fixtures of the client's tests: a real server that plays recordings."""

import socket
from collections.abc import Iterator

import pytest

from tests.client.recorded_server import RecordedServer
from tests.client.running import running


@pytest.fixture(scope="session")
def running_server() -> Iterator[tuple[RecordedServer, str]]:
    """One server for all tests: uvicorn takes a fifth of a second to stop."""
    recorded = RecordedServer()
    with running(recorded) as url:
        yield recorded, url


@pytest.fixture
def server(running_server: tuple[RecordedServer, str]) -> RecordedServer:
    recorded, _ = running_server
    recorded.reset()
    return recorded


@pytest.fixture
def url(running_server: tuple[RecordedServer, str], server: RecordedServer) -> str:
    assert server is running_server[0]
    return running_server[1]


@pytest.fixture
def unused_url() -> str:
    """The URL of a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
