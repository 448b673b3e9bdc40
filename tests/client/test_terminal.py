"""The live display in a real pseudo-terminal: it shows, it ends, it leaves all as it was."""

import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from typing import Any

import pytest

from tests.client.recorded_server import RecordedServer

ROOT = Path(__file__).resolve().parents[2]
ENTER, LEAVE, SHOW_CURSOR = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"
PATIENCE_S = 20.0


class Terminal:
    """A child on a pseudo-terminal of its own."""

    def __init__(self, child: subprocess.Popen[bytes], master: int) -> None:
        self.child = child
        self.master = master
        self.output = b""

    def read_until(self, wanted: bytes | None) -> None:
        """Read until the output holds `wanted`; None: until its end."""
        until = time.monotonic() + PATIENCE_S
        while wanted is None or wanted not in self.output:
            left = until - time.monotonic()
            readable, _, _ = select.select([self.master], [], [], max(0.0, left))
            assert readable, f"not within {PATIENCE_S} s: {wanted!r} in {self.output[-2000:]!r}"
            try:
                part = os.read(self.master, 65_536)
            except OSError:  # Linux: the other side is closed
                part = b""
            if not part:
                assert wanted is None, f"ended without {wanted!r}: {self.output[-2000:]!r}"
                return
            self.output += part

    def settings(self) -> list[Any]:
        return termios.tcgetattr(self.master)


@contextmanager
def terminal(*arguments: str, columns: int = 80, rows: int = 24) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES", "NO_COLOR", "QUORUM_URL"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "tests.client.quorum_command", "solve", *arguments]
    # a session leader's first terminal that it opens itself controls it: so Ctrl-C has an effect
    on_terminal = ["sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(slave), *command]
    child = subprocess.Popen(
        on_terminal,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=ROOT,
        env=environment,
        start_new_session=True,
    )
    os.close(slave)
    try:
        yield Terminal(child, master)
    finally:
        child.kill()
        child.wait()
        os.close(master)


def visible(output: bytes) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output.decode())


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (160, 50)])
def test_lanes_then_the_answer(url: str, server: RecordedServer, columns: int, rows: int) -> None:
    server.reset(pace_s=0.004)
    with terminal("sum", "--url", url, columns=columns, rows=rows) as shown:
        before = shown.settings()
        shown.read_until(None)
        assert shown.child.wait(PATIENCE_S) == 0
        assert shown.settings() == before
    live, _, after = shown.output.partition(LEAVE)
    assert live.count(ENTER) == 1
    assert all(f" {attempt} · " in visible(live) for attempt in range(4))
    assert "squares" in visible(live)
    assert "╻ ╻ ╺━┓" in visible(after), "the answer, large, where it stays"
    assert "3 of 4 votes" in visible(after)
    assert live.endswith(SHOW_CURSOR)
    assert b"\x1b[2J" not in live.partition(ENTER)[2], "clearing makes it flicker"


def test_control_c_restores_the_terminal(url: str, server: RecordedServer) -> None:
    with terminal("hang", "--url", url) as shown:
        before = shown.settings()
        shown.read_until(" 3 · ".encode())
        os.write(shown.master, b"\x03")
        shown.read_until(None)
        assert shown.child.wait(PATIENCE_S) == 130
        assert shown.settings() == before
    assert server.gone.wait(PATIENCE_S), "the solve goes on without its client"
    assert shown.output.rstrip().endswith(SHOW_CURSOR + LEAVE)
    assert b"Traceback" not in shown.output


def test_sigterm_restores_the_terminal(url: str, server: RecordedServer) -> None:
    with terminal("hang", "--url", url) as shown:
        shown.read_until(" 3 · ".encode())
        shown.child.send_signal(signal.SIGTERM)
        shown.read_until(None)
        assert shown.child.wait(PATIENCE_S) == 128 + signal.SIGTERM
    assert server.gone.wait(PATIENCE_S)
    assert shown.output.rstrip().endswith(SHOW_CURSOR + LEAVE)


def test_a_cut_connection_restores_the_terminal(url: str) -> None:
    with terminal("cut", "--url", url) as shown:
        shown.read_until(None)
        assert shown.child.wait(PATIENCE_S) == 1
    _, _, after = shown.output.partition(LEAVE)
    assert visible(after).strip().startswith("quorum: the server at")


def test_frames_come_at_most_eight_times_a_second(url: str, server: RecordedServer) -> None:
    server.reset(pace_s=0.004)
    started = time.monotonic()
    with terminal("sum", "--url", url) as shown:
        shown.read_until(None)
    seconds = time.monotonic() - started
    frames = shown.output.count(b"\x1b[H")
    assert 1 < frames <= 8 * seconds + 2


def test_a_batch_shows_a_bar(url: str, tmp_path: Path) -> None:
    problems = tmp_path / "problems.jsonl"
    problems.write_text('{"id": "a", "problem": "sum", "answer": 42}\n')
    out = str(tmp_path / "results.jsonl")
    with terminal("--file", str(problems), "--out", out, "--url", url) as shown:
        shown.read_until(None)
        assert shown.child.wait(PATIENCE_S) == 0
    text = visible(shown.output)
    assert "1 of 1 correct" in text
    assert "1/1" in text
    assert "a: correct, answer 42: 3 of 4 votes" in text


def test_the_wait_for_the_server_shows(url: str, server: RecordedServer) -> None:
    server.reset(ready_after=2)
    with terminal("sum", "--url", url) as shown:
        shown.read_until(None)
        assert shown.child.wait(PATIENCE_S) == 0
    waiting, _, _ = shown.output.partition(ENTER)
    assert "waiting: engine: loading (weights)" in visible(waiting)
