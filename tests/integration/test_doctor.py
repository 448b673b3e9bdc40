"""`quorum doctor` as a process: what is here, what is missing, and what to do."""

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from server.commands import doctor
from server.settings import Settings
from tests.integration.serving import START_S, environment

SUBJECTS = {"machine", "engine", "weights", "kernels", "memory", "disk", "GPU", "port"}


def run(folder: Path, *flags: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "client.main", "doctor", *flags],
        env=environment(COLUMNS="200", **variables),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


def test_missing_weights_come_with_their_remedy(tmp_path: Path) -> None:
    end = run(tmp_path, "--json", QUORUM_CACHE=str(tmp_path / "empty"))
    findings = {finding["subject"]: finding for finding in orjson.loads(end.stdout)}
    assert {*findings} == SUBJECTS
    assert end.returncode == 1
    assert findings["weights"]["verdict"] == "missing"
    assert findings["weights"]["remedy"] == "quorum weights pull"
    assert findings["kernels"]["verdict"] == "ok", findings["kernels"]
    assert "Traceback" not in end.stderr


def test_a_malformed_setting_is_the_only_finding(tmp_path: Path) -> None:
    end = run(tmp_path, QUORUM_SANDBOX_KERNELS="none")
    assert end.returncode == 1
    assert "sandbox.kernels 'none'" in end.stdout
    assert "correct the setting" in end.stdout


def test_brackets_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    remedy = "pip install 'quorum-aimo[embedded]'"
    doctor._print([doctor.Finding("engine", doctor.Verdict.MISSING, "[Errno 2]", remedy)])
    shown = " ".join(capsys.readouterr().out.split())
    assert "[Errno 2]" in shown
    assert "[embedded]" in shown


def test_a_check_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(settings: Settings) -> doctor.Finding:
        raise ValueError(f"a bug for {settings.gateway.port}")

    for name in ("_engine", "_weights", "_kernels", "_memory", "_disk", "_gpu", "_port"):
        monkeypatch.setattr(doctor, name, fail)
    for variable in [name for name in os.environ if name.startswith("QUORUM_")]:
        monkeypatch.delenv(variable)
    findings = list(doctor.examine())
    assert len(findings) == len(SUBJECTS)
    assert {finding.verdict for finding in findings[1:]} == {doctor.Verdict.MISSING}
    assert "ValueError: a bug for" in findings[1].detail
