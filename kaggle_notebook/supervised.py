"""The supervisor's process, as the session sees it. Standard library alone."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import kaggle_notebook
from kaggle_notebook.server_state import ServerPhase, ServerState, parse_state
from kaggle_notebook.settings import SessionSettings

#: A supervisor that ended is started again, but not more often than this.
RESTART_EVERY_S = 2.0
#: Seconds for it to end with its server, and more: the server's own limit is 10.
STOP_TIMEOUT_S = 20.0


def source_root() -> Path:
    """Return the folder, or the zip file, that holds this package."""
    return Path(kaggle_notebook.__file__).parent.parent


def server_arguments(settings: SessionSettings, folder: Path) -> list[str]:
    """Return the arguments of `quorum serve`; what `settings.server` names goes over ours."""
    values: dict[str, str | int | float | bool] = {
        "gateway.port": 0,
        "journal.path": str(folder / "journal.sqlite"),
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


class SupervisedServer:
    """Starts the supervisor, and again should it end; `state` is what it said last."""

    def __init__(self, settings: SessionSettings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._parent = -1
        self._started = float("-inf")
        self._state: ServerState | None = None
        self._closed = False
        self.trouble = ""

    @property
    def state(self) -> ServerState | None:
        """The server's state; None as long as nothing is known of it."""
        return self._state

    def ensure(self) -> None:
        """Start the supervisor if none runs. Raises nothing: see `trouble`."""
        with self._lock:
            running = self._process is not None and self._process.poll() is None
            too_soon = time.monotonic() - self._started < RESTART_EVERY_S
            if running or too_soon or self._closed:
                return
            self._started = time.monotonic()
            self._state = None
            try:
                self._start()
                self.trouble = ""
            except OSError as error:
                self.trouble = f"the server's supervisor cannot be started ({error})"

    def close(self) -> None:
        """End the supervisor and with it the server; bounded."""
        with self._lock:
            self._closed = True
            self._close_pipe()
            process = self._process
        if process is None:
            return
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)

    def _start(self) -> None:
        self._close_pipe()
        arguments = server_arguments(self._settings, self._folder)
        configuration: Mapping[str, Any] = {
            "python": self._settings.python,
            "install": list(self._settings.install),
            "command": list(self._settings.command),
            "arguments": arguments,
            "root": str(source_root()),
        }
        child_parent, self._parent = os.pipe()
        root = str(source_root())
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        try:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "kaggle_notebook.supervisor"),
                    *(str(self._folder), str(child_parent), json.dumps(configuration)),
                ],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                pass_fds=(child_parent,),
                start_new_session=True,  # Ctrl-C in the notebook is not for it
            )
        finally:
            os.close(child_parent)
        output = self._process.stdout
        if output is not None:
            threading.Thread(target=self._listen, args=(output,), daemon=True).start()

    def _listen(self, output: IO[bytes]) -> None:
        with output:
            for line in output:
                with contextlib.suppress(ValueError):
                    value = json.loads(line)
                    self._state = parse_state(value if isinstance(value, dict) else None)
        state = self._state
        if state is not None and state.phase is ServerPhase.SERVING:
            # its server ends with it
            self._state = None

    def _close_pipe(self) -> None:
        if self._parent >= 0:
            os.close(self._parent)
            self._parent = -1
