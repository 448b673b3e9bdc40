"""The log of an engine's process: kept, bounded, private, and never in the way."""

from pathlib import Path

import pytest
import structlog

from server.engine import log_file
from server.engine.log_file import EngineLog


def test_what_is_written_is_kept_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "engine.log"
    for line in (b"first\n", b"second\n"):
        log = EngineLog(path)
        log.write(line)
        log.close()
    assert path.read_bytes() == b"first\nsecond\n"
    assert path.stat().st_mode & 0o077 == 0


def test_a_full_file_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "MOST_BYTES", 10)
    path = tmp_path / "engine.log"
    log = EngineLog(path)
    for number in range(6):
        log.write(b"%d2345678\n" % number)
    log.close()
    kept = [path.with_suffix(".log.1").read_bytes(), path.read_bytes()]
    assert b"".join(kept).endswith(b"32345678\n42345678\n52345678\n")
    assert max(map(len, kept)) <= 20


def test_a_log_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    log = EngineLog(tmp_path / "file" / "engine.log")
    with structlog.testing.capture_logs() as told:
        log.write(b"one\n")
        log.write(b"two\n")
    log.close()
    assert [entry["event"] for entry in told] == ["engine.log_lost"]
