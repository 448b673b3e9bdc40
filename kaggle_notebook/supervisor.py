"""Keeps the server running: `python -m kaggle_notebook.supervisor FOLDER DESCRIPTOR JSON`.

A process of its own, so that neither the install nor a start can hold up an answer. It makes the
server's environment, starts the server, and starts it again, with growing pauses, when it ends,
stops answering or has given up on its engine. What it does it says in lines of JSON on its standard
output, and in `server.json` of the folder, where that can be written. It ends, with the server,
when its parent does: that holds the other end of the pipe whose descriptor is given. After one that
was killed it waits a little for the next. Standard library alone.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from kaggle_notebook.errors import KaggleError
from kaggle_notebook.files import read_json, temporary_folder, write_json
from kaggle_notebook.output import warn
from kaggle_notebook.parent import Parent, address_of, call, digest_of
from kaggle_notebook.server_state import FILE, ServerPhase, ServerState, parse_state
from kaggle_notebook.wire import Wire

SERVER_LOG = "server.log"
INSTALL_LOG = "install.log"
#: Pauses before a start: the first is short, as a server that was killed is whole again at once.
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 15.0
#: A server that lived for as long as this, and was ready, was well: its end starts the pauses
#: afresh. One whose engine never came up may have tried for many minutes.
HEALTHY_S = 60.0
#: Ends in a row, of servers that were not well, after which it counts as failed; starts go on.
FAILED_AFTER = 5
#: Seconds until a started server must listen: importing it takes two to three on a slow disk.
LISTEN_TIMEOUT_S = 120.0
#: Seconds from a server's last word, its pipe's end, to its exit code.
LAST_BREATH_S = 1.0
#: Characters of its last line that are told.
LAST_WORDS = 300
#: Questions after health: how often, how long an answer may take, how many may fail in a row.
ASK_EVERY_S = 2.0
ASK_TIMEOUT_S = 10.0
ASK_FAILURES = 3
#: Seconds that a server has to end by itself: its own limit is 10.
STOP_TIMEOUT_S = 12.0
#: Seconds until the system has ended a process that was killed.
ORPHAN_TIMEOUT_S = 5.0
INSTALL_TRIES = 3
#: The server's log is started afresh above this size: a notebook's output is limited.
MOST_LOG_BYTES = 32 * 1024 * 1024
_READY_BYTES = 4096
#: The end of what a process wrote that is kept at hand: an install names its interpreter there.
_SAID_BYTES = 65_536


@dataclass(slots=True)
class Supervisor:
    """Installs once, then runs the server until the parent ends."""

    folder: Path
    parent: Parent
    configuration: Mapping[str, Any]
    python: str = ""
    starts: int = 0
    short_lives: int = 0
    was_ready: bool = False
    installed: bool = False
    has_own_environment: bool = False
    stopping: bool = False
    said: ServerState | None = None
    taken_over: int = 0
    unkept: bool = False
    server_said: bytearray = field(default_factory=bytearray)
    listener: threading.Thread | None = None

    def run(self) -> None:
        """Work until the parent ends or a signal asks for the end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self.python = str(self.configuration.get("python") or sys.executable)
        self._install(INSTALL_TRIES)
        while not self.stopping:
            # What kept it from being installed may have passed: a run has hours.
            self._install(1 if self.starts else 0)
            begun = time.monotonic()
            detail = self._serve_once()
            was_well = self.was_ready and time.monotonic() - begun >= HEALTHY_S
            self.short_lives = 0 if was_well else self.short_lives + 1
            failed = self.short_lives >= FAILED_AFTER
            self._say(ServerPhase.FAILED if failed else ServerPhase.WAITING, detail=detail)
            self._pause(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** max(0, self.short_lives - 1)))
        self._say(ServerPhase.STOPPED)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self.stopping = True

    def _say(self, phase: ServerPhase, *, url: str = "", pid: int = 0, detail: str = "") -> None:
        self.said = state = ServerState(phase, url, pid, detail, self.starts)
        self.parent.say(json.dumps(state.as_json()))
        self._keep()

    def _keep(self) -> None:
        """Write down what was said; a full disk is tried again while the server runs."""
        try:
            if self.said is not None:
                write_json(self.folder / FILE, self.said.as_json())
            self.unkept = False
        except OSError:
            self.unkept = True

    def _pause(self, seconds: float) -> bool:
        """Wait, at most until the parent ends; tell whether it lives."""
        end = time.monotonic() + seconds
        while not self.stopping:
            left_s = end - time.monotonic()
            if left_s <= 0:
                break
            self._look(left_s)
        return not self.stopping

    def _look(self, seconds: float, *others: int) -> list[int]:
        """Wait for the parent, or for what else can be read; return that."""
        readable = self.parent.wait(seconds, *others)
        self.stopping = self.stopping or self.parent.ended
        if self.parent.taken_over > self.taken_over and self.said is not None:
            self.taken_over = self.parent.taken_over
            self.parent.say(json.dumps(self.said.as_json()))
        return readable

    def _install(self, tries: int) -> None:
        """Make the server's environment; a failure is told, and the server is tried all the same.

        The image may hold all that is needed.
        """
        command = [str(each) for each in self.configuration.get("install") or ()]
        for tried in range(tries if command and not self.installed else 0):
            self._say(ServerPhase.INSTALLING, detail=f"try {tried + 1}" if tried else "")
            self.installed = self._installed(command) == 0
            if self.installed or not self._pause(FIRST_PAUSE_S * 2**tried):
                return

    def _installed(self, command: Sequence[str]) -> int | None:
        """Run the command; return its exit code, None where it was cut or cannot be started."""
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
            )
        except OSError as error:
            warn(f"the install cannot be started ({error})")
            return None
        said = bytearray()
        reading = _keep_output(process, self.folder / INSTALL_LOG, said)
        while process.poll() is None and self._pause(0.1):
            pass
        if process.poll() is None:
            _kill_group(process)
            return None
        reading.join(LAST_BREATH_S)
        if process.returncode == 0:
            named = _interpreter_named(bytes(said))
            self.has_own_environment = bool(named)
            self.python = named or self.python
        return process.returncode

    def _serve_once(self) -> str:
        """Run one server from its start to its end; return why it ended."""
        with suppress(OSError):  # it may have been removed: whatever is made in it is made again
            self.folder.mkdir(parents=True, exist_ok=True)
        self.starts += 1
        self.was_ready = False
        self._say(ServerPhase.STARTING)
        ready, child_ready = os.pipe()
        child_parent, parent = os.pipe()
        try:
            process = self._spawn(child_ready, child_parent)
        except OSError as error:
            for descriptor in (ready, child_ready, child_parent, parent):
                os.close(descriptor)
            # what was installed may be gone: then it is made again before the next start
            self.installed = False
            return f"the server cannot be started ({error})"
        os.close(child_ready)
        os.close(child_parent)
        try:
            return self._watch(process, ready)
        finally:
            os.close(ready)
            os.close(parent)
            self._stop(process)

    def _spawn(self, ready_fd: int, parent_fd: int) -> "subprocess.Popen[bytes]":
        command = [str(each) for each in self.configuration.get("command") or ()]
        if not command:
            command = [self.python, "-m", "client.main", "serve"]
        arguments = [str(each) for each in self.configuration.get("arguments") or ()]
        pipes = ["--ready-fd", str(ready_fd), "--parent-fd", str(parent_fd)]
        process = subprocess.Popen(
            [*command, *arguments, *pipes],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            start_new_session=True,
            pass_fds=(ready_fd, parent_fd),
        )
        self.server_said = bytearray()
        self.listener = _keep_output(process, self.folder / SERVER_LOG, self.server_said)
        return process

    def _environment(self) -> dict[str, str]:
        """Return the server's variables: an environment that was made for it has its own code.

        And room for temporary files: where no disk has any, it does not start.
        """
        variables = dict(os.environ)
        with suppress(OSError):
            variables["TMPDIR"] = str(temporary_folder())
        if self.has_own_environment:
            root = str(self.configuration.get("root"))
            paths = variables.pop("PYTHONPATH", "").split(os.pathsep)
            if others := [path for path in paths if path and path != root]:
                # what the image has there may have modules of our names
                own = Path(self.python).parent.parent.glob("lib/python*/site-packages")
                variables["PYTHONPATH"] = os.pathsep.join([*map(str, own), *others])
        return variables

    def _watch(self, process: "subprocess.Popen[bytes]", ready: int) -> str:
        """Wait for the server's end, or for a reason to end it; return it."""
        url = self._listening(process, ready)
        if not url:
            with suppress(subprocess.TimeoutExpired):
                process.wait(LAST_BREATH_S)
            code = process.returncode
            what = "did not listen in time" if code is None else f"ended with exit code {code}"
            return f"the server {what}: {self._last_words()}see {SERVER_LOG}"
        self._say(ServerPhase.SERVING, url=url, pid=process.pid)
        wire, failures, asked = Wire(url), 0, time.monotonic()
        while self._pause(0.05):
            if process.poll() is not None:
                return f"the server ended with exit code {process.returncode}: see {SERVER_LOG}"
            if time.monotonic() - asked < ASK_EVERY_S:
                continue
            try:
                readiness = wire.call("GET", "/ready", timeout_s=ASK_TIMEOUT_S)
                failures = 0
            except KaggleError:
                failures += 1
                readiness = {}
            asked = time.monotonic()
            if self.unkept:
                self._keep()
            if failures >= ASK_FAILURES:
                return "the server stopped answering"
            engine = readiness.get("engine") or {}
            self.was_ready = self.was_ready or bool(readiness.get("ready") or engine.get("ready"))
            if engine.get("state") == "failed":
                return f"the server gave up on its engine: {engine.get('detail', '')}"
        return "the session is over"

    def _last_words(self) -> str:
        """Return the line that a server said last, which is why it does not start."""
        if self.listener is not None:
            self.listener.join(LAST_BREATH_S)
        lines = bytes(self.server_said).decode("utf-8", "replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"{last[:LAST_WORDS].rstrip('.')}; " if last else ""

    def _listening(self, process: "subprocess.Popen[bytes]", ready: int) -> str:
        line, end = b"", time.monotonic() + LISTEN_TIMEOUT_S
        while b"\n" not in line and len(line) < _READY_BYTES and time.monotonic() < end:
            if self.stopping or process.poll() is not None:
                return ""
            if self._look(0.25, ready):
                part = os.read(ready, _READY_BYTES)
                if not part:
                    break
                line += part
        try:
            return str(json.loads(line)["url"])
        except (ValueError, KeyError, TypeError):
            return ""

    def _stop(self, process: "subprocess.Popen[bytes]") -> None:
        """SIGTERM, a wait, SIGKILL to the group, which never outlives this process."""
        if process.poll() is None:
            with suppress(ProcessLookupError):
                process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_S)
        _kill_group(process)


def _keep_output(
    process: "subprocess.Popen[bytes]", path: Path, said: bytearray
) -> threading.Thread:
    """Return the thread that keeps what a process writes: in a file, and its end in `said`."""
    thread = threading.Thread(target=keep_log, args=(process.stdout, path, said), daemon=True)
    thread.start()
    return thread


def keep_log(output: IO[bytes], path: Path, said: bytearray) -> None:
    """Append what a process writes to a file, from its beginning again above `MOST_LOG_BYTES`.

    A disk that is full costs lines of the log: written by the process itself they would be errors.
    """
    while data := os.read(output.fileno(), 65_536):
        said += data
        del said[:-_SAID_BYTES]
        with suppress(OSError):
            large = path.exists() and path.stat().st_size > MOST_LOG_BYTES
            with path.open("wb" if large else "ab") as file:
                file.write(data)


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(5.0)


def _interpreter_named(said: bytes) -> str:
    """Return the interpreter that an install named last, empty where it named none.

    Lines may follow it: what an interpreter says at its end goes the same way.
    """
    for line in reversed(said.splitlines()):
        with suppress(ValueError, LookupError, TypeError):
            return str(json.loads(line)["python"])
    return ""


def main(arguments: Sequence[str]) -> None:
    """Supervise the server of a session's folder; one process at a time does."""
    folder, parent_fd = Path(arguments[0]), int(arguments[1])
    configuration: dict[str, Any] = json.loads(arguments[2])
    linger_s = float(configuration.get("linger_s") or 0.0)
    parent = Parent(parent_fd, 1, address_of(folder), digest_of(configuration), linger_s)
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)  # a full disk has no room for a file
    while not _locked(lock):
        # one that waits for a successor ends when it hears of another server; or it is ending now
        call(folder, {"digest": ""})
        parent.wait(0.1)
        if parent.ended or parent.descriptor < 0:
            return
    _end_orphan(folder)
    Supervisor(folder, parent, configuration).run()


def _end_orphan(folder: Path) -> None:
    """Kill the server that a killed supervisor left: it has the journal, and perhaps a GPU."""
    left = parse_state(read_json(folder / FILE))
    if left is None or left.pid <= 0:
        return
    with suppress(OSError):
        command = Path(f"/proc/{left.pid}/cmdline").read_bytes()
        if os.fsencode(folder) in command and left.pid == os.getpgid(left.pid):
            os.killpg(left.pid, signal.SIGKILL)
            end = time.monotonic() + ORPHAN_TIMEOUT_S
            while Path(f"/proc/{left.pid}/cmdline").read_bytes() and time.monotonic() < end:
                time.sleep(0.02)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks: nobody else can hold one
    return True


if __name__ == "__main__":
    main(sys.argv[1:])
