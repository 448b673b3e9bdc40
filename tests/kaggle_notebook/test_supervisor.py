"""The process that installs, starts the server and starts it again."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kaggle_notebook.files import read_json
from kaggle_notebook.server_state import FILE, ServerPhase, ServerState, parse_state
from kaggle_notebook.session import Session
from kaggle_notebook.supervised import source_root
from tests.kaggle_notebook.test_predict import PLENTY_S, ask, session_of, wait_until

#: A notebook waits for its successor for longer than a test may take.
LINGER_S = 120.0


def is_in(session: Session, phase: ServerPhase) -> bool:
    state = session.server.state
    return state is not None and state.phase is phase


def test_the_interpreter_that_the_install_names_runs_the_server_with_its_own_code_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"/of/the/image{os.pathsep}{source_root()}")
    own = tmp_path / "environment" / "lib" / "python3.99" / "site-packages"
    own.mkdir(parents=True)
    python = tmp_path / "environment" / "bin" / "python"
    python.parent.mkdir()
    server = f"{sys.executable} -m tests.kaggle_notebook.misbehaving_server stall"
    python.write_text(
        f'#!/bin/sh\necho "$PYTHONPATH" > {tmp_path}/path\n'
        f'PYTHONPATH={source_root()} exec {server} "$@"\n'
    )
    python.chmod(0o755)
    line = json.dumps({"python": str(python)})
    # Something may be said after it, by the interpreter's end.
    program = f"print('installed'); print({line!r}); print('Exception ignored in: ...'); print(7)"
    install = (sys.executable, "-c", program)
    with session_of("", tmp_path, command=(), install=install) as session:
        wait_until(lambda: is_in(session, ServerPhase.SERVING))
        paths = (tmp_path / "path").read_text().strip().split(os.pathsep)
        assert paths == [str(own), "/of/the/image"]
        assert "installed" in (tmp_path / "install.log").read_text()


def test_an_install_that_fails_is_tried_again_and_the_server_starts_all_the_same(
    tmp_path: Path,
) -> None:
    install = (sys.executable, "-c", "print('no'); raise SystemExit(1)")
    with session_of("stall", tmp_path, install=install) as session:
        wait_until(lambda: is_in(session, ServerPhase.SERVING))
        assert (tmp_path / "install.log").read_text().splitlines() == ["no"] * 3


def test_an_install_whose_log_finds_no_room_still_names_the_interpreter(tmp_path: Path) -> None:
    python = tmp_path / "python"
    server = f"{sys.executable} -m tests.kaggle_notebook.misbehaving_server stall"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={source_root()} exec {server} "$@"\n')
    python.chmod(0o755)
    (tmp_path / "install.log").symlink_to("/dev/full")
    install = (sys.executable, "-c", f"print({json.dumps({'python': str(python)})!r})")
    with session_of("", tmp_path, command=(), install=install) as session:
        assert ask() == 9
        assert session.server.state is not None
        assert session.server.state.starts == 1


def test_a_folder_that_is_removed_is_made_again_for_server_and_answers(tmp_path: Path) -> None:
    folder = tmp_path / "session"
    with session_of("picky", folder) as session:
        assert ask() == 21
        pid = int((folder / "pid").read_text())
        folder.rename(tmp_path / "gone")  # in one step, whoever writes in it
        os.kill(pid, 9)
        wait_until((folder / "pid").exists)
        assert ask("b2") == 21
        assert session.record.trouble == ""
        kept = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
        assert [line["key"] for line in kept] == ["a1", "b2"]


def test_what_was_installed_and_is_gone_is_installed_again(tmp_path: Path) -> None:
    python = tmp_path / "python"
    server = f"{sys.executable} -m tests.kaggle_notebook.misbehaving_server picky"
    script = f'#!/bin/sh\nPYTHONPATH={source_root()} exec {server} "$@"\n'
    program = (
        "import json, pathlib\n"
        f"python = pathlib.Path({str(python)!r})\n"
        f"python.write_text({script!r})\n"
        "python.chmod(0o755)\n"
        "print(json.dumps({'python': str(python)}))"
    )
    with session_of("", tmp_path, command=(), install=(sys.executable, "-c", program)):
        assert ask() == 21
        python.unlink()
        os.kill(int((tmp_path / "pid").read_text()), 9)
        assert ask("b2") == 21


def test_a_supervisor_that_was_stopped_goes_on_when_its_server_is_missed(tmp_path: Path) -> None:
    with session_of("picky", tmp_path) as session:
        assert ask() == 21
        os.kill(session.server.supervisor_pid, signal.SIGSTOP)
        os.kill(int((tmp_path / "pid").read_text()), 9)
        assert ask("b2") == 21


def test_an_install_that_works_at_last_is_used(tmp_path: Path) -> None:
    """A mount that is slow to come up must not cost the whole run."""
    python = tmp_path / "python"
    server = f"{sys.executable} -m tests.kaggle_notebook.misbehaving_server stall"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={source_root()} exec {server} "$@"\n')
    python.chmod(0o755)
    program = (
        "import json, pathlib\n"
        "tries = pathlib.Path('tries')\n"
        "tries.write_text(tries.read_text() + 'x' if tries.exists() else 'x')\n"
        "assert len(tries.read_text()) > 4\n"
        f"print(json.dumps({{'python': {str(python)!r}}}))"
    )
    install = (sys.executable, "-c", program)
    with session_of("", tmp_path, command=(), python="/bin/false", install=install) as session:
        wait_until(lambda: is_in(session, ServerPhase.SERVING))
        assert (tmp_path / "tries").read_text() == "x" * 5
        state = session.server.state
        assert state is not None
        assert state.starts == 3


def test_a_problem_waits_for_a_server_that_failed_and_comes_back(tmp_path: Path) -> None:
    """Five short lives, then it starts: what came meanwhile is solved, not given up."""
    starts = tmp_path / "starts"
    server = f"{sys.executable} -m tests.kaggle_notebook.misbehaving_server stall"
    script = f'echo x >> {starts}; test $(wc -l < {starts}) -gt 5 && exec {server} "$@"; exit 1'
    command = ("/bin/sh", "-c", script, "sh")
    with session_of("", tmp_path, command=command, failed_wait_s=None) as session:
        wait_until(lambda: is_in(session, ServerPhase.FAILED))
        assert ask() == 9


def test_a_solve_that_was_given_up_while_no_server_was_there_is_ended_when_one_is(
    tmp_path: Path,
) -> None:
    """A server that was started again goes on with it, and the next problem waits for that."""
    server = f"{sys.executable} -m tests.kaggle_notebook.misbehaving_server"
    begun, back = tmp_path / "begun", tmp_path / "back"
    script = (
        f'test -e {back} && exec {server} picky "$@"; test -e {begun} && exit 1; '
        f'touch {begun}; exec {server} fallback "$@"'
    )
    command = ("/bin/sh", "-c", script, "sh")
    with session_of("", tmp_path, command=command, problems=2, default_answer=3) as session:
        assert ask("a1") == 3
        back.touch()
        wait_until(lambda: is_in(session, ServerPhase.SERVING))
        assert ask("a2", "Another text?") == 21
    assert (tmp_path / "deleted").read_text().splitlines()[0] == "/v1/solves/s1"


def test_a_server_that_ends_again_and_again_counts_as_failed(tmp_path: Path) -> None:
    with session_of("no-start", tmp_path) as session:
        wait_until(lambda: is_in(session, ServerPhase.FAILED))
        assert getattr(session.server.state, "starts", 0) == 5


def test_a_server_that_was_never_ready_was_not_well_however_long_it_lived(tmp_path: Path) -> None:
    """An engine whose weights are damaged fails after minutes, each time."""
    program = (
        "import sys; from kaggle_notebook import supervisor; "
        "supervisor.HEALTHY_S = supervisor.ASK_EVERY_S = 0.0; supervisor.main(sys.argv[1:])"
    )
    server = [sys.executable, "-m", "tests.kaggle_notebook.misbehaving_server", "gives-up"]
    alive, ours = os.pipe()
    command = [sys.executable, "-c", program, str(tmp_path), str(alive)]
    with subprocess.Popen(
        [*command, json.dumps({"command": server})],
        stdout=subprocess.PIPE,
        pass_fds=(alive,),
        env={**os.environ, "PYTHONPATH": str(source_root())},
    ) as process:
        os.close(alive)
        assert process.stdout is not None
        failed = next(
            state
            for line in process.stdout
            if (state := parse_state(json.loads(line))) and state.phase is ServerPhase.FAILED
        )
        os.close(ours)
    assert failed.starts == 5
    assert "gave up on its engine" in failed.detail


#: A notebook that starts a session and then does nothing.
NOTEBOOK = """
import json, sys, time
from kaggle_notebook.start import start
start(json.loads(sys.argv[1]))
time.sleep(600)
"""


@contextmanager
def killed_notebook(folder: Path, linger_s: float) -> Iterator[ServerState]:
    """Run a notebook until its server is there, and kill it; yield what that server was."""
    settings = {
        "folder": str(folder),
        "limit_s": PLENTY_S,
        "linger_s": linger_s,
        "command": (sys.executable, "-m", "tests.kaggle_notebook.misbehaving_server", "stall"),
    }
    with subprocess.Popen([sys.executable, "-c", NOTEBOOK, json.dumps(settings)]) as process:
        try:
            wait_until(lambda: is_serving(folder))
        finally:
            process.kill()
    state = parse_state(read_json(folder / FILE))
    assert state is not None
    yield state
    wait_until(lambda: not Path(f"/proc/{state.pid}/exe").exists())


def is_serving(folder: Path) -> bool:
    state = parse_state(read_json(folder / FILE))
    return state is not None and state.phase is ServerPhase.SERVING


def test_its_notebook_s_death_ends_it_and_the_server(tmp_path: Path) -> None:
    with killed_notebook(tmp_path, linger_s=0):
        pass


def test_nobody_comes(tmp_path: Path) -> None:
    with killed_notebook(tmp_path, linger_s=0.5):
        pass


def test_a_notebook_that_is_started_again_takes_over_the_server(tmp_path: Path) -> None:
    with (
        killed_notebook(tmp_path, linger_s=LINGER_S) as left,
        session_of("stall", tmp_path) as session,
    ):
        wait_until(lambda: is_in(session, ServerPhase.SERVING))
        assert session.server.state == left
        assert ask() == 9
        # it watches over the server as its own: one that dies comes back
        os.kill(left.pid, 9)
        assert ask("b2") == 9
        assert getattr(session.server.state, "starts", 0) == 2


def test_one_with_another_server_in_mind_ends_it_first(tmp_path: Path) -> None:
    with (
        killed_notebook(tmp_path, linger_s=LINGER_S) as left,
        session_of("cut", tmp_path) as session,
    ):
        wait_until(lambda: is_in(session, ServerPhase.SERVING))
        assert getattr(session.server.state, "pid", 0) != left.pid
        assert not Path(f"/proc/{left.pid}/exe").exists()
