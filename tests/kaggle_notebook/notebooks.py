"""Notebooks as processes, with the real server, kernels and a rehearsed engine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "tests" / "kaggle_double" / "site"
#: A server's start with its kernels, on a machine that is busy with other things.
START_S = 40.0
SERVER = {
    "engine.kind": "rehearsal",
    "solve.attempts": 2,
    "solve.agree": 2,
    "sandbox.kernels": 2,
    "sandbox.spares": 2,
}
#: The cells of a notebook, in one.
CELLS = """
import json, sys
from pathlib import Path
from kaggle_notebook.start import start
start(json.loads(sys.argv[1]))
from kaggle_notebook import serve
of_contest = serve.inference_server
def with_port(*arguments):
    server = of_contest(*arguments)
    Path("port").write_text(str(server.port))
    return server
serve.inference_server = with_port  # several notebooks may run on this machine
serve.main()
"""


@dataclass
class Notebook:
    """A notebook's process and its folder."""

    process: "subprocess.Popen[bytes]"
    folder: Path

    @property
    def session(self) -> Path:
        return self.folder / "session"

    def port(self) -> int:
        path = self.folder / "port"
        self.wait_until(lambda: path.exists() and bool(path.read_text()))
        return int(path.read_text())

    def lines(self) -> list[dict[str, Any]]:
        path = self.session / "answers.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def log(self) -> str:
        files = [self.folder / "notebook.log", *self.session.glob("*.log")]
        return "\n".join(path.read_text() for path in files if path.exists())

    def wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S
        while not condition():
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def kill_server(self) -> None:
        state = json.loads((self.session / "server.json").read_text())
        assert state["pid"] > 0, state
        os.kill(state["pid"], signal.SIGKILL)


@contextmanager
def notebook(folder: Path, rerun: bool, **settings: Any) -> Iterator[Notebook]:  # noqa: ANN401
    """Run a notebook; at the end it is killed, which ends what it started."""
    given = {
        "folder": str(folder / "session"),
        "limit_s": 120.0,
        "elapsed_s": 0,
        "linger_s": 0,
        "evaluation": str(SITE),
        "data": str(folder / "problems.csv"),
        "server": SERVER,
        **settings,
    }
    variables = {"PYTHONPATH": str(ROOT)} | ({"KAGGLE_IS_COMPETITION_RERUN": "1"} if rerun else {})
    (folder / "port").unlink(missing_ok=True)
    with (folder / "notebook.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", CELLS, json.dumps(given)],
            cwd=folder,
            env={**os.environ, **variables},
            stdout=log,
            stderr=log,
        )
    try:
        yield Notebook(process, folder)
    finally:
        process.kill()
        process.wait()


def run_gateway(folder: Path, port: int) -> dict[str, Any]:
    """Run the contest's gateway against a notebook; return its result."""
    module = "tests.kaggle_double.gateway"
    path = str(folder / "problems.csv")
    subprocess.run(
        [sys.executable, "-m", module, path, str(START_S), str(port)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=50,
    )
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


def write_problems(
    folder: Path, rows: dict[str | None, str], answers: Mapping[str | None, int] | None = None
) -> None:
    """Write a CSV file of ids and problems, with answers that nobody may read."""
    known = [(answers or {}).get(name, 99_998) for name in rows]
    frame = {"id": list(rows), "problem": list(rows.values()), "answer": known}
    pl.DataFrame(frame).write_csv(folder / "problems.csv")
