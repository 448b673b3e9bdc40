"""The session's clock, through restarts, reboots and steps of the wall clock."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kaggle_notebook import clock as clock_module
from kaggle_notebook.clock import (
    elapsed_at_start_s,
    keep_clock,
    kept_clock,
    process_age_s,
    start_clock,
)


def test_it_counts_down_from_what_is_gone() -> None:
    now = [1000.0]
    clock = replace(start_clock(100.0, 0.0), started=990.0, boottime=lambda: now[0])
    assert (clock.elapsed_s, clock.left_s) == (10.0, 90.0)
    now[0] = 2000.0
    assert clock.left_s == 0.0


def test_a_restart_keeps_it(tmp_path: Path) -> None:
    clock = start_clock(100.0, 30.0)
    keep_clock(clock, tmp_path)
    kept = kept_clock(100.0, tmp_path)
    assert kept is not None
    assert kept.started == clock.started


def test_a_step_of_the_wall_clock_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_clock(start_clock(100.0, 30.0), tmp_path)
    wall = time.time()
    monkeypatch.setattr(time, "time", lambda: wall + 86_400)
    kept = kept_clock(100.0, tmp_path)
    assert kept is not None
    assert 30.0 <= kept.elapsed_s < 60.0


def test_after_a_reboot_the_wall_clock_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_clock(start_clock(1000.0, 30.0), tmp_path)
    wall = time.time()
    monkeypatch.setattr(clock_module, "_boot_id", lambda: "another boot")
    monkeypatch.setattr(clock_module, "boottime_s", lambda: 5.0)
    monkeypatch.setattr(time, "time", lambda: wall + 100)
    kept = kept_clock(1000.0, tmp_path)
    assert kept is not None
    assert kept.started == pytest.approx(5.0 - 130.0, abs=30.0)


#: A number that no float holds.
HUGE = json.dumps({"boot_id": "b", "started_boottime": 10**400, "started_wall": 0})


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '{"boot_id": 1}', HUGE])
def test_a_file_that_says_nothing_is_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / clock_module.FILE).write_text(text)
    assert kept_clock(100.0, tmp_path) is None


def test_start_up_counts_unless_the_process_is_too_old_to_be_a_contest_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert process_age_s() > 0
    monkeypatch.setattr(clock_module, "process_age_s", lambda: 42.0)
    assert elapsed_at_start_s() == 42.0
    monkeypatch.setattr(clock_module, "process_age_s", lambda: 5000.0)
    assert elapsed_at_start_s() == 0.0
