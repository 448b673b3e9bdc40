"""How long a problem has waited for a server that gave up."""

import time

import pytest

from kaggle_notebook.absence import Absence
from kaggle_notebook.server_state import ServerPhase, ServerState


@pytest.mark.parametrize(
    ("phases", "seconds"),
    [
        ("", 0),
        ("start serve serve", 0),
        ("start start fail", 0),
        ("fail start start", 2),
        ("fail fail none fail", 0),
        # what loads has its time, which is not counted; what was counted stays
        ("fail start serve serve serve", 2),
        ("fail start serve fail start", 3),
        ("fail start serve ready", 0),
        ("fail start serve ready start start", 0),
        ("fail start serve ready fail start", 1),
    ],
)
def test_only_time_without_a_server_is_counted_until_one_can_work(
    phases: str, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    named = {
        "start": ServerPhase.STARTING,
        "serve": ServerPhase.SERVING,
        "fail": ServerPhase.FAILED,
    }
    seen = Absence()
    for phase in phases.split():
        now += 1.0
        if phase == "ready":
            seen.end()
        else:
            seen.observe(None if phase == "none" else ServerState(named[phase]))
    assert seen.seconds == seconds
