"""Runs a recorded server on a thread of its own, as real as uvicorn makes it."""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from tests.client.recorded_server import RecordedServer


@contextmanager
def running(server: RecordedServer) -> Iterator[str]:
    """Serve on a free port of the loopback address; yields the URL."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # cut streams are on purpose
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            server.app, log_config=None, lifespan="off", timeout_graceful_shutdown=1
        )
        uvicorn_server = uvicorn.Server(config)
        thread = threading.Thread(target=uvicorn_server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            # the socket listens already: a connection made now waits until it is accepted
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            uvicorn_server.should_exit = True
            thread.join(timeout=10)
            assert not thread.is_alive()
