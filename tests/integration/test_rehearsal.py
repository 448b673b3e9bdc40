"""`quorum serve` with a rehearsal: kernels, votes and journal work as with a model."""

import os
import signal
from pathlib import Path
from typing import Any

import orjson

from server.engine.rehearsal.problems import right_answer
from tests.integration.serving import Server, serving

#: An attempt takes some seconds: long enough to kill its engine in its midst.
MACHINE = """
load_s = 0
step_s = 0.01
step_s_per_stream = 0
prefill_tokens_s = 1e6
kv_tokens = 100000
most_running = 8
[habits]
tokens_median = 150
tokens_sigma = 0
tokens_most = 200
calls_median = 1
"""
PROBLEM = "What is left? [rehearsal: right=1]"


def test_a_solve_survives_its_engine_and_nothing_is_left(tmp_path: Path) -> None:
    machine = tmp_path / "machine.toml"
    machine.write_text(MACHINE)
    flags = {
        "--engine-kind": "rehearsal",
        "--rehearsal-machine": str(machine),
        "--sandbox-kernels": "2",
        "--sandbox-spares": "1",
        "--journal-path": str(tmp_path / "journal.sqlite"),
    }
    arguments = [word for pair in flags.items() for word in pair]
    with serving(Path("harmony"), tmp_path, *arguments) as server:
        server.wait_ready()
        result = _result_of_solve_whose_engine_is_killed(server)
        assert result["answer"] == right_answer(PROBLEM)
        assert any(attempt["engine_losses"] for attempt in result["attempts"])
        assert all(attempt["token_exact"] for attempt in result["attempts"])
        server.process.terminate()
        server.assert_all_gone(10.0)


def _result_of_solve_whose_engine_is_killed(server: Server) -> dict[str, Any]:
    """Follow a solve; kill its engine at the first text."""
    body = {"problem": PROBLEM, "attempts": 2, "agree": 2, "time_limit_s": 50}
    headers = {"Accept": "text/event-stream"}
    event, killed = "", False
    with (
        server.client() as http,
        http.stream("POST", "/v1/solves", json=body, headers=headers) as reply,
    ):
        for line in reply.raise_for_status().iter_lines():
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            if event == "attempt.text" and not killed:
                (engine,) = server.children("server.engine.rehearsal.child")
                os.kill(engine, signal.SIGKILL)
                killed = True
            if event == "solve.finished" and line.startswith("data: "):
                result: dict[str, Any] = orjson.loads(line.removeprefix("data: "))["result"]
                return result
    raise AssertionError("the solve ended without a result")
