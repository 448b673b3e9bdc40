"""Shared fixtures: the event-loop backend of every asynchronous test."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
