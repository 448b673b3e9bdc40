"""`quorum doctor`: what it finds, and what it tells people to do."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from server.commands.doctor import Verdict, examine
from server.settings import load_settings


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def run_doctor(**variables: str) -> tuple[int, str, str]:
    """Run the command in a process of its own; return exit code, output and errors."""
    reply = subprocess.run(
        [sys.executable, "-m", "client.main", "doctor", "--json"],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return reply.returncode, reply.stdout, reply.stderr


def test_missing_weights_are_found_with_their_remedy() -> None:
    code, out, _ = run_doctor()
    found = {finding["subject"]: finding for finding in json.loads(out)}
    assert code == 1
    assert found["weights"]["verdict"] == "missing"
    assert "quorum weights pull" in found["weights"]["remedy"]
    assert found["kernels"]["verdict"] == "ok"
    assert found["engine"]["verdict"] == "ok"


def test_a_malformed_setting_is_the_only_finding() -> None:
    code, out, _ = run_doctor(QUORUM_SANDBOX_KERNELS="0")
    (finding,) = json.loads(out)
    assert code == 1
    assert "QUORUM_SANDBOX_KERNELS" in finding["detail"]


def test_weights_that_are_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "model.gguf"
    weights.write_bytes(b"GGUF" + bytes(1000))
    monkeypatch.setenv("QUORUM_ENGINE_MODEL", str(weights))
    found = {finding.subject: finding for finding in examine()}
    assert found["weights"].verdict is Verdict.OK
    assert str(weights) in found["weights"].detail


def test_a_taken_port_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("QUORUM_GATEWAY_PORT", str(taken.getsockname()[1]))
        assert load_settings().gateway.port == taken.getsockname()[1]
        found = {finding.subject: finding for finding in examine()}
    assert found["port"].verdict is Verdict.NOTE
    assert "QUORUM_GATEWAY_PORT" in found["port"].remedy
