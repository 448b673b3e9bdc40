"""The process that installs, starts the server and starts it again."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from kaggle_notebook.server_state import ServerPhase
from kaggle_notebook.session import Session
from kaggle_notebook.supervised import source_root
from tests.kaggle_notebook.test_predict import session_of

WITHIN_S = 30.0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_in(session: Session, phase: ServerPhase) -> bool:
    state = session.server.state
    return state is not None and state.phase is phase


def test_the_interpreter_that_the_install_names_runs_the_server(tmp_path: Path) -> None:
    python = tmp_path / "python"
    server = f"{sys.executable} -m tests.kaggle_notebook.misbehaving_server stall"
    python.write_text(
        f'#!/bin/sh\necho "$PYTHONPATH" > {tmp_path}/path\n'
        f'PYTHONPATH={source_root()} exec {server} "$@"\n'
    )
    python.chmod(0o755)
    line = json.dumps({"python": str(python)})
    install = (sys.executable, "-c", f"print('installed'); print({line!r})")
    with session_of("", tmp_path, command=(), install=install) as session:
        wait_until(lambda: is_in(session, ServerPhase.SERVING))
        assert str(source_root()) not in (tmp_path / "path").read_text().strip().split(os.pathsep)
        assert "installed" in (tmp_path / "install.log").read_text()


def test_an_install_that_fails_is_tried_again_and_the_server_starts_all_the_same(
    tmp_path: Path,
) -> None:
    install = (sys.executable, "-c", "print('no'); raise SystemExit(1)")
    with session_of("stall", tmp_path, install=install) as session:
        wait_until(lambda: is_in(session, ServerPhase.SERVING))
        assert (tmp_path / "install.log").read_text().splitlines() == ["no"] * 3


def test_a_server_that_ends_again_and_again_counts_as_failed(tmp_path: Path) -> None:
    with session_of("no-start", tmp_path) as session:
        wait_until(lambda: is_in(session, ServerPhase.FAILED))
        assert getattr(session.server.state, "starts", 0) == 5


def test_its_notebook_s_end_ends_it_and_the_server(tmp_path: Path) -> None:
    with session_of("stall", tmp_path) as session:
        wait_until(lambda: is_in(session, ServerPhase.SERVING))
        state, process = session.server.state, session.server._process
        assert state is not None
        assert process is not None
        os.close(session.server._parent)  # as the system does for a notebook that is killed
        session.server._parent = -1
        process.wait(WITHIN_S)
        assert not Path(f"/proc/{state.pid}/exe").exists()
