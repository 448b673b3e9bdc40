"""What a log line holds, whoever wrote the values in it."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from server.access.keys import make_key
from server.access.scopes import Scope
from server.logs import configure
from server.sections.log import LogSettings

HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b1A\u202e24"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_values_do_not_act_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="console"))
    log = structlog.get_logger("hostile")
    log.info("solve.finished", answer=HOSTILE, problem_id="a\n2026 [error] forged")
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        log.exception("attempt.failed")
    written = capsys.readouterr().err
    assert "\x1b" not in written
    assert "\x9b" not in written
    assert "\u202e" not in written
    assert written.count("\\x1b]0;title\\x07\\x1b[2J\\x9b1A\\u202e24") == 2
    assert "\n2026 [error] forged" not in written
    assert "ValueError" in written


def test_a_line_of_json_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="json"))
    structlog.get_logger("hostile").info("solve.finished", answer=f"a\n{HOSTILE}")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["answer"] == f"a\n{HOSTILE}"


@pytest.mark.parametrize("form", ["json", "console"])
def test_of_a_lease_s_id_a_beginning_is_shown(
    capsys: pytest.CaptureFixture[str], form: str
) -> None:
    """Who has it whole may use the lease."""
    lease = "lease-5f0c6a0f9d0e4b1e8f7a6b5c4d3e2f10"
    configure(LogSettings(format=form))
    log = structlog.get_logger("leases")
    log.info("request", path=f"/v1/sandbox/leases/{lease}/execute")
    log.info("request", path=f"/v1/sandbox/leases/{lease[:30]}")
    written = capsys.readouterr().err
    assert written.count("lease-5f0c6a(hidden)") == 2
    assert "0f9d" not in written


@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_are_hidden(capsys: pytest.CaptureFixture[str], form: str) -> None:
    _, key = make_key("me", frozenset({Scope.SOLVE}))
    configure(LogSettings(format=form))
    log = structlog.get_logger("hostile")
    log.info("request", path=f"/v1/{key}", authorization="Basic abc", note="Bearer t0k3n-of-mine")
    try:
        raise ValueError(f"cannot read {key}")
    except ValueError:
        log.exception("attempt.failed")
    written = capsys.readouterr().err
    for secret in (key, key.split("_", 2)[2], "Basic abc", "t0k3n-of-mine"):
        assert secret not in written
    assert written.count("(hidden)") == 4


def test_ids_are_bound_to_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogSettings(format="json"))
    with structlog.contextvars.bound_contextvars(solve_id="solve-1", run="r"):
        structlog.get_logger("ours").info("attempt.failed", attempt=2)
        logging.getLogger("theirs").warning("said")
    for line in capsys.readouterr().err.splitlines():
        assert json.loads(line).items() >= {"solve_id": "solve-1", "run": "r"}.items()
