"""`quorum serve` as a process: how it starts, refuses to start, and ends in the middle of a solve.

A real llama.cpp serves a tiny random model whose end token is out of reach: many attempts at few
slots keep it busy for as long as a test likes.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import orjson
import pytest
from httpx_sse import connect_sse

from client.schema import (
    EVENT_ADAPTER,
    AttemptText,
    AttemptWaiting,
    SolveEnd,
    SolveFinished,
    SolveResult,
)
from tests.integration.serving import (
    SHUTDOWN_S,
    START_S,
    Server,
    environment,
    run_to_its_end,
    sentences,
    serving,
)
from tests.server.engine import tiny_llama

pytest.importorskip("xllamacpp")

ENDLESS = {"problem": "What is 6 x 7?", "attempts": 200, "agree": 200, "time_limit_s": 600}
FLAGS = (
    *("--engine-context-tokens", "4096", "--engine-slots", "2"),
    *("--sandbox-kernels", "2", "--sandbox-spares", "2"),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "endless.gguf"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_llama, "END_BIAS", tiny_llama.OUT_OF_REACH)
        tiny_llama.write_tiny_llama(path)
    return path


@pytest.fixture
def server(model: Path, tmp_path: Path) -> Iterator[Server]:
    with serving(model, tmp_path, *FLAGS) as server:
        server.wait_ready()
        assert len(server.children("llamacpp_child")) == 1
        # The template, and a kernel that was forked from it, with its command line, at least.
        assert len(server.children("sandbox/inside/template.py")) >= 2
        yield server


@contextmanager
def solving(server: Server) -> Iterator[list[SolveResult]]:
    """Solve by JSON in another thread while the block runs; the result is there after it."""
    results: list[SolveResult] = []

    def solve() -> None:
        with server.client() as http:
            reply = http.post("/v1/solves", json=ENDLESS)
            results.append(SolveResult.model_validate_json(reply.content))

    thread = threading.Thread(target=solve)
    with server.client() as http, connect_sse(http, "POST", "/v1/solves", json=ENDLESS) as source:
        stream = source.iter_sse()
        while next(stream).event != "attempt.text":
            pass
        thread.start()
        while not server.readiness().queued:
            pass
        yield results
        thread.join(SHUTDOWN_S)
        events = [EVENT_ADAPTER.validate_json(event.data) for event in stream]
        assert isinstance(events[-1], SolveFinished)
        results.append(events[-1].result)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, -signal.SIGTERM),
        (signal.SIGHUP, -signal.SIGHUP),
        (signal.SIGINT, 130),
    ],
)
def test_a_signal_in_the_middle_of_a_solve(
    server: Server, number: signal.Signals, code: int
) -> None:
    """Both callers get a result, by JSON and by events, and nothing is left running."""
    with solving(server) as results:
        server.process.send_signal(number)
    server.assert_all_gone(SHUTDOWN_S)
    assert server.process.returncode == code
    assert [result.end for result in results] == [SolveEnd.CANCELLED] * 2
    assert [bool(result.attempts) for result in results] == [False, True]  # one still waited
    assert "Traceback" not in server.log.read_text()


def test_the_parents_end_in_the_middle_of_a_solve(server: Server) -> None:
    with solving(server) as results:
        server.close_parent_pipe()
    server.assert_all_gone(SHUTDOWN_S)
    assert server.process.returncode == 0
    assert [result.end for result in results] == [SolveEnd.CANCELLED] * 2
    assert "Traceback" not in server.log.read_text()


def test_killed_it_leaves_nothing_running(server: Server) -> None:
    with server.client() as http, connect_sse(http, "POST", "/v1/solves", json=ENDLESS) as source:
        stream = source.iter_sse()
        while next(stream).event != "attempt.text":
            pass
        server.process.kill()
        with pytest.raises(httpx.TransportError):
            list(stream)
    server.assert_all_gone(SHUTDOWN_S)


def test_the_parents_end_before_it_is_ready(model: Path, tmp_path: Path) -> None:
    with serving(model, tmp_path, *FLAGS, "--log-format", "json") as server:
        server.close_parent_pipe()
        server.assert_all_gone(SHUTDOWN_S)
        assert server.process.returncode == 0
        lines = [orjson.loads(line) for line in server.log.read_text().splitlines()]
    assert [line["event"] for line in lines if line["event"].startswith("gateway.")] == [
        "gateway.listening",
        "gateway.stopping",
    ]
    assert all(line["level"] in {"info", "warning"} and line["timestamp"] for line in lines)


def test_an_engine_that_is_killed_comes_back_in_the_same_solve(server: Server) -> None:
    with server.client() as http, connect_sse(http, "POST", "/v1/solves", json=ENDLESS) as source:
        stream = (EVENT_ADAPTER.validate_json(event.data) for event in source.iter_sse())
        assert any(isinstance(event, AttemptText) for event in stream)
        (engine,) = server.children("llamacpp_child")
        os.kill(engine, signal.SIGKILL)
        waiting = next(event for event in stream if isinstance(event, AttemptWaiting))
        assert any(
            isinstance(event, AttemptText) and event.attempt == waiting.attempt for event in stream
        )
        assert server.children("llamacpp_child") != [engine]


class TestRefusals:
    def test_a_port_in_use(self, model: Path, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            end = run_to_its_end("--gateway-port", port, "--engine-model", str(model), cwd=tmp_path)
        self.assert_one_sentence(end.returncode, end.stderr, f"127.0.0.1:{port}: cannot be")
        assert "QUORUM_GATEWAY_PORT" in end.stderr

    def test_a_setting_out_of_range(self, tmp_path: Path) -> None:
        end = run_to_its_end(cwd=tmp_path, QUORUM_SANDBOX_KERNELS="0")
        self.assert_one_sentence(end.returncode, end.stderr, "sandbox.kernels '0'", exits=2)
        assert "QUORUM_SANDBOX_KERNELS" in end.stderr

    def test_an_unknown_variable(self, tmp_path: Path) -> None:
        end = run_to_its_end(cwd=tmp_path, QUORUM_KERNELS="4")
        says = "QUORUM_KERNELS: no such setting"
        self.assert_one_sentence(end.returncode, end.stderr, says, exits=2)

    def test_missing_weights(self, tmp_path: Path) -> None:
        end = run_to_its_end(cwd=tmp_path, QUORUM_CACHE=str(tmp_path / "empty"))
        self.assert_one_sentence(end.returncode, end.stderr, "quorum weights pull")

    def test_a_file_that_is_no_model(self, tmp_path: Path) -> None:
        path = tmp_path / "model.gguf"
        path.write_bytes(b"no model")
        end = run_to_its_end("--engine-model", str(path), cwd=tmp_path)
        self.assert_one_sentence(end.returncode, end.stderr, "not a GGUF file")

    def test_a_kind_of_engine_that_the_model_is_not_for(self, model: Path, tmp_path: Path) -> None:
        flags = ["--engine-kind", "sglang", "--engine-model", str(model)]
        end = run_to_its_end(*flags, cwd=tmp_path)
        self.assert_one_sentence(end.returncode, end.stderr, "no folder of a model")

    def test_kernels_that_cannot_be_confined_as_demanded(self, tmp_path: Path) -> None:
        end = self.end_with("sandbox.errors.ConfinementError('full: not held')", tmp_path)
        self.assert_one_sentence(end.returncode, end.stderr, "full: not held")

    def test_a_defect_does_not_look_like_a_solve_without_an_answer(self, tmp_path: Path) -> None:
        end = self.end_with("ZeroDivisionError('a defect')", tmp_path)
        assert end.returncode == 1
        assert "a defect" in end.stderr

    def end_with(self, error: str, folder: Path) -> "subprocess.CompletedProcess[str]":
        """Run a server whose pool of kernels does not open."""
        script = (
            "import sys, sandbox.errors, sandbox.pool\n"
            f"async def enter(pool): raise {error}\n"
            "sandbox.pool.KernelPool.__aenter__ = enter\n"
            "from client.main import main\n"
            "sys.exit(main(['serve', '--no-engine', '--gateway-port', '0']))"
        )
        return subprocess.run(
            [sys.executable, "-c", script],
            env=environment(),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )

    def assert_one_sentence(self, code: int, errors: str, says: str, *, exits: int = 1) -> None:
        assert code == exits, errors
        (sentence,) = sentences(errors)
        assert says in sentence
        assert "Traceback" not in errors
