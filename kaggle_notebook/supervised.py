"""The supervisor's process, as the session sees it. Standard library alone."""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import kaggle_notebook
from kaggle_notebook.parent import END, call, digest_of, peer_of
from kaggle_notebook.server_state import ServerPhase, ServerState, parse_state
from kaggle_notebook.settings import SessionSettings

#: A supervisor that ended is started again, but not more often than this.
RESTART_EVERY_S = 2.0
FALLBACK_FILE = "fallback.json"
#: Seconds for it to end with its server, and more: the server's own limit is 10.
STOP_TIMEOUT_S = 20.0


def source_root() -> Path:
    """Return the folder, or the zip file, that holds this package."""
    return Path(kaggle_notebook.__file__).parent.parent


def fallback_path(settings: SessionSettings, folder: Path) -> Path:
    """Return the file in which the server, at work in the folder, leaves what it knows."""
    return folder / Path(str(settings.server.get("journal.fallback", FALLBACK_FILE))).expanduser()


def server_arguments(settings: SessionSettings, folder: Path) -> list[str]:
    """Return the arguments of `quorum serve`; what `settings.server` names goes over ours."""
    values: dict[str, str | int | float | bool] = {
        "gateway.port": 0,
        "journal.path": str(folder / "journal.sqlite"),
        "journal.fallback": str(folder / FALLBACK_FILE),
        **settings.server,
    }
    arguments = []
    for name, value in values.items():
        flag = name.replace(".", "-").replace("_", "-")
        if isinstance(value, bool):
            arguments.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            arguments += [f"--{flag}", str(value)]
    return arguments


@dataclass(slots=True)
class Link:
    """The line to a supervisor, started here or taken over: what it says is read from ``said``.

    ``tell`` ends it in order, ``kill`` without asking, ``reap`` frees what is left of one that has
    ended; ``over`` is set then.
    """

    pid: int
    said: IO[bytes]
    tell: Callable[[], None]
    kill: Callable[[], None]
    reap: Callable[[], None]
    over: threading.Event = field(default_factory=threading.Event)


class SupervisedServer:
    """Starts the supervisor, and again should it end; `state` is what it said last."""

    def __init__(self, settings: SessionSettings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._lock = threading.RLock()
        self._link: Link | None = None
        self._started = float("-inf")
        self._state: ServerState | None = None
        self._closed = False
        self.trouble = ""

    @property
    def state(self) -> ServerState | None:
        """The server's state; None as long as nothing is known of it."""
        return self._state

    @property
    def supervisor_pid(self) -> int:
        """The supervisor's process, 0 where none has been started."""
        return self._link.pid if self._link else 0

    def ensure(self) -> None:
        """Start the supervisor if none runs, wake it if stopped. Raises nothing: see `trouble`."""
        with self._lock:
            running = self._link is not None and not self._link.over.is_set()
            if running:
                self._wake()
            too_soon = time.monotonic() - self._started < RESTART_EVERY_S
            if running or too_soon or self._closed:
                return
            self._started = time.monotonic()
            self._state = None
            try:
                self._open()
                self.trouble = ""
            except (OSError, RuntimeError) as error:
                self.trouble = f"the server's supervisor cannot be started ({error})"

    def _wake(self) -> None:
        """Have a supervisor that was stopped go on: nobody else sees that its server has ended."""
        with suppress(OSError):
            os.kill(self.supervisor_pid, signal.SIGCONT)

    def close(self) -> None:
        """End the supervisor and with it the server; bounded."""
        with self._lock:
            self._closed = True
            link = self._link
        if link is None:
            return
        link.tell()
        if not link.over.wait(STOP_TIMEOUT_S):
            link.kill()
            link.over.wait(STOP_TIMEOUT_S)

    def _open(self) -> None:
        """Take over the supervisor of a notebook that was killed, or start one."""
        configuration: dict[str, Any] = {
            "python": self._settings.python,
            "install": list(self._settings.install),
            "command": list(self._settings.command),
            "arguments": server_arguments(self._settings, self._folder),
            "root": str(source_root()),
            "linger_s": self._settings.linger_s,
        }
        wanted = {"digest": digest_of(configuration), "linger_s": self._settings.linger_s}
        connection = call(self._folder, wanted)
        link = _started(self._folder, configuration) if connection is None else _taken(connection)
        # a notebook that ends in order leaves nobody waiting
        atexit.register(link.tell)
        self._link = link
        threading.Thread(target=self._listen, args=(link,), daemon=True).start()

    def _listen(self, link: Link) -> None:
        with suppress(OSError), link.said:
            for line in link.said:
                with suppress(ValueError):
                    value = json.loads(line)
                    self._state = parse_state(value if isinstance(value, dict) else None)
        state = self._state
        if state is not None and state.phase is ServerPhase.SERVING:
            # its server ends with it
            self._state = None
        atexit.unregister(link.tell)
        link.tell()
        link.reap()
        link.over.set()


def _started(folder: Path, configuration: Mapping[str, Any]) -> Link:
    """Start a supervisor. Raises OSError."""
    child_parent, parent = os.pipe()
    root = str(source_root())
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "kaggle_notebook.supervisor"),
                *(str(folder), str(child_parent), json.dumps(configuration)),
            ],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            pass_fds=(child_parent,),
            start_new_session=True,  # Ctrl-C in the notebook is not for it
        )
    except OSError:
        os.close(parent)
        raise
    finally:
        os.close(child_parent)
    if process.stdout is None:
        raise OSError("it has no output")
    told = threading.Lock()

    def tell() -> None:
        if told.acquire(blocking=False):
            with suppress(OSError):
                os.write(parent, END)
            os.close(parent)

    def reap() -> None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)

    return Link(process.pid, process.stdout, tell, process.kill, reap)


def _taken(connection: socket.socket) -> Link:
    """Take over a supervisor that answered."""

    def tell() -> None:
        with suppress(OSError):
            connection.sendall(END)

    pid = peer_of(connection)[0]

    def kill() -> None:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)

    return Link(pid, connection.makefile("rb"), tell, kill, connection.close)
