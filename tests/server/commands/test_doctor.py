"""`quorum doctor`: what it finds, and what it tells people to do."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from server.commands import doctor
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


@pytest.mark.parametrize(
    ("variables", "subject", "verdict", "says"),
    [
        ({"ENGINE_KIND": "none"}, "engine", Verdict.NOTE, "the sandbox alone"),
        ({"ENGINE_KIND": "none"}, "weights", Verdict.OK, "none are needed"),
        ({"ENGINE_KIND": "openai", "ENGINE_URLS": "http://x:1"}, "engine", Verdict.OK, "http://x:1"),
        ({"ENGINE_KIND": "sglang"}, "engine", Verdict.MISSING, "'quorum-aimo[sglang]'"),
        ({"ENGINE_KIND": "sglang", "ENGINE_PYTHON": "/p"}, "engine", Verdict.OK, "sglang of /p"),
        (
            {"ENGINE_KIND": "sglang", "ENGINE_MODEL": "model.gguf"},
            "weights", Verdict.MISSING, "a folder of a model",
        ),
        ({"ENGINE_KIND": "sglang", "ENGINE_MODEL": "."}, "weights", Verdict.OK, "."),
        ({"ENGINE_MODEL": "no/such.gguf"}, "weights", Verdict.MISSING, "correct engine.model"),
        ({"ENGINE_MODEL": "text.gguf"}, "weights", Verdict.MISSING, "correct engine.model"),
    ],
)  # fmt: skip
def test_it_looks_at_what_the_settings_name(
    variables: dict[str, str],
    subject: str,
    verdict: Verdict,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    (tmp_path / "text.gguf").write_bytes(b"text")
    for name, value in variables.items():
        monkeypatch.setenv(f"QUORUM_{name}", value)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    check = {"engine": doctor._engine, "weights": doctor._weights}[subject]
    found = check(load_settings())
    assert (found.subject, found.verdict) == (subject, verdict)
    assert says in found.detail + found.remedy


def test_nothing_is_cut_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    path = "/a/path/that/is/longer/than/its/column.gguf"
    doctor._print([doctor.Finding("weights", Verdict.OK, path, "name it in engine.model")])
    shown = capsys.readouterr().out
    assert "…" not in shown
    cells = [line.split("│") for line in shown.splitlines() if "│" in line]
    assert "".join(line[2].strip() for line in cells) == path


def test_a_terminal_too_narrow_for_columns_has_a_line_for_each_field(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    doctor._print([doctor.Finding("weights", Verdict.OK, "/a/path.gguf", "name it")])
    shown = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert shown == ["ok", "what: weights", "found: /a/path.gguf", "what to do: name it", ""]


def test_an_address_that_cannot_be_resolved_is_no_taken_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QUORUM_GATEWAY_HOST", "a..b")
    found = doctor._port(load_settings())
    assert (found.verdict, found.remedy) == (Verdict.MISSING, "correct gateway.host")


def test_a_taken_port_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("QUORUM_GATEWAY_PORT", str(taken.getsockname()[1]))
        assert load_settings().gateway.port == taken.getsockname()[1]
        found = {finding.subject: finding for finding in examine()}
    assert found["port"].verdict is Verdict.NOTE
    assert "QUORUM_GATEWAY_PORT" in found["port"].remedy
