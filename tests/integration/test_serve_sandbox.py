"""`quorum serve --no-engine` as a process: kernels by HTTP, and an end in the middle of cells."""

import signal
import threading
import time
from pathlib import Path

import httpx
import pytest
from httpx_sse import connect_sse

from client import errors
from client.sandbox import SandboxClient
from client.schema import CELL_EVENT_ADAPTER, CellFailed, CellOutput
from tests.integration.serving import SHUTDOWN_S, serving

LEASES = "/v1/sandbox/leases"
ENDLESS = {"code": "print('on', flush=True)\nwhile True: pass", "timeout_s": 600}
#: No file is there: nothing may look for it.
NO_MODEL = Path("no-such-model.gguf")
FLAGS = ("--no-engine", "--sandbox-kernels", "2", "--sandbox-spares", "2")


def test_it_needs_no_weights_and_says_what_it_is(tmp_path: Path) -> None:
    with serving(NO_MODEL, tmp_path, *FLAGS) as server:
        server.wait_ready()
        state = server.readiness()
        assert (state.engine.state, state.sandbox.state) == ("none", "ready")
        with SandboxClient(server.url) as sandbox, sandbox.lease() as kernel:
            assert kernel.execute("float(np.sum(np.arange(9)))").output == "36.0\n"
        with server.client() as http:
            reply = http.post("/v1/solves", json={"problem": "What is 6 x 7?"})
            assert (reply.status_code, "no engine" in reply.text) == (503, True)


def test_its_end_in_the_middle_of_cells_and_waits(tmp_path: Path) -> None:
    """Whoever runs a cell, and whoever waits for a kernel, is told; nothing is left running."""
    replies: list[httpx.Response] = []
    with serving(NO_MODEL, tmp_path, *FLAGS) as server:
        server.wait_ready()

        def post(path: str, body: dict[str, object]) -> None:
            with server.client() as http:
                replies.append(http.post(path, json=body))

        with server.client() as http:
            first, second = (http.post(LEASES).headers["location"] for _ in range(2))
            threads = [
                threading.Thread(target=post, args=(f"{first}/execute", ENDLESS)),
                threading.Thread(target=post, args=(LEASES, {"wait_s": 60})),
            ]
            with connect_sse(http, "POST", f"{second}/execute", json=ENDLESS) as source:
                events = (CELL_EVENT_ADAPTER.validate_json(e.data) for e in source.iter_sse())
                assert next(events) == CellOutput(text="on\n")
                for thread in threads:
                    thread.start()
                wait_for_both(server.url, first)
                server.process.send_signal(signal.SIGTERM)
                last = list(events)[-1]
        for thread in threads:
            thread.join(SHUTDOWN_S)
        server.assert_all_gone(SHUTDOWN_S)
        assert "Traceback" not in server.log.read_text()
    assert isinstance(last, CellFailed)
    assert [last.problem.status, *(reply.status_code for reply in replies)] == [503] * 3
    assert all("shut down" in reply.text for reply in replies)


def wait_for_both(url: str, lease: str) -> None:
    """Wait until the lease's cell runs and a request waits for a kernel."""
    deadline = time.monotonic() + SHUTDOWN_S
    with httpx.Client(base_url=url, trust_env=False) as http:
        while not (http.get(lease).json()["busy"] and http.get(LEASES).json()["waiting"]):
            assert time.monotonic() < deadline


def test_a_server_that_is_gone(tmp_path: Path) -> None:
    with serving(NO_MODEL, tmp_path, *FLAGS) as server:
        server.wait_ready()
        with SandboxClient(server.url) as sandbox, sandbox.lease() as kernel:
            server.process.kill()
            server.process.wait(SHUTDOWN_S)
            with pytest.raises(errors.TransportError, match=server.url):
                kernel.execute("1")
        server.assert_all_gone(SHUTDOWN_S)
