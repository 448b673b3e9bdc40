"""A contest's run on this machine, as benchmarks drive it: a notebook's process and a gateway's."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.kaggle_notebook_process import port_file
from kaggle_notebook.files import read_json
from kaggle_notebook.settings import RERUN

ROOT = Path(__file__).resolve().parent.parent
LOOK_EVERY_S = 0.05


@dataclass(slots=True)
class Notebook:
    """A running notebook, and when what happened to it; times in seconds since 1970.

    ``struck`` names the faults that found something to strike.
    """

    process: "subprocess.Popen[bytes]"
    folder: Path
    begun: float = field(default_factory=time.time)
    strikes: list[tuple[float, float]] = field(default_factory=list)
    struck: set[str] = field(default_factory=set)
    over: threading.Event = field(default_factory=threading.Event)
    submitted: Path = Path()
    """Where the gateway writes: no folder of the notebook's, and not on a disk that is filled."""

    @property
    def session(self) -> Path:
        """The session's folder."""
        return self.folder / "session"

    @property
    def journal(self) -> Path:
        """The server's journal."""
        return self.session / "journal.sqlite"

    def log(self, name: str) -> str:
        """Return a file of the session's folder as text, empty where there is none."""
        with suppress(OSError):
            return (self.session / name).read_text(errors="replace")
        return ""

    def answers(self) -> list[dict[str, Any]]:
        """Return the lines of the record so far."""
        with suppress(OSError):
            lines = (self.session / "answers.jsonl").read_bytes().splitlines()
            return [json.loads(line) for line in lines if line.endswith(b"}")]
        return []

    def server(self) -> dict[str, Any]:
        """Return what the supervisor says."""
        return read_json(self.session / "server.json") or {}

    def descendants(self, words: str) -> list[psutil.Process]:
        """Return the processes below the notebook whose command line has all the words."""
        found = []
        with suppress(psutil.Error):
            for each in psutil.Process(self.process.pid).children(recursive=True):
                with suppress(psutil.Error):
                    line = " ".join(each.cmdline())
                    if all(word in line for word in words.split()):
                        found.append(each)
        return found

    def strike(self, lasts_s: float = 0.0) -> None:
        """Note that a fault strikes now."""
        self.strikes.append((time.time(), time.time() + lasts_s))


@contextmanager
def running_notebook(
    folder: Path, settings: Mapping[str, Any], disturbances: Mapping[str, float]
) -> Iterator[Notebook]:
    """Run a notebook in a folder; at the end whatever it started is killed."""
    arguments = [json.dumps(dict(settings)), json.dumps(dict(disturbances))]
    module = "benchmarks.kaggle_notebook_process"
    with (folder / "notebook.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), RERUN: "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    notebook = Notebook(process, folder)
    try:
        yield notebook
    finally:
        left = notebook.descendants("")
        process.kill()
        process.wait()
        for each in left:
            with suppress(psutil.Error):
                each.kill()


@contextmanager
def running_gateway(notebook: Notebook) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the contest's gateway, a process of its own, as soon as there is a server to ask."""
    file = port_file(notebook.folder)
    port = ""
    while notebook.process.poll() is None and not port:
        time.sleep(LOOK_EVERY_S)
        with suppress(OSError):
            port = file.read_text()
    file.unlink(missing_ok=True)
    module, path = "tests.kaggle_double.gateway", str(notebook.folder / "problems.csv")
    with tempfile.TemporaryDirectory(prefix="kaggle-gateway-") as folder:
        notebook.submitted = Path(folder)
        process = subprocess.Popen(
            [sys.executable, "-m", module, path, "60", port or "1"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
