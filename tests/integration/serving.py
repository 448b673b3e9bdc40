"""`quorum serve` as a child process, and what it leaves behind."""

import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson

from client.schema import Readiness
from tests.sandbox.processes import processes_mentioning

#: Start of an interpreter with all imports, on a machine that is busy with other things.
START_S = 30.0
#: The default of `gateway.shutdown_s`: no end may take longer.
SHUTDOWN_S = 10.0


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "client.main", "serve", *arguments]


def environment(**variables: str) -> dict[str, str]:
    """Return this process's variables without settings of Quorum, and these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QUORUM_")}
    return {**kept, **variables}


def run_to_its_end(
    *arguments: str, cwd: Path, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run a server that is expected not to start."""
    return subprocess.run(
        command("--gateway-port", "0", *arguments),
        env=environment(**variables),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


@dataclass
class Server:
    """A server that listens; every process that comes of it has `mark` in its PATH."""

    process: "subprocess.Popen[bytes]"
    mark: str
    log: Path
    url: str
    parent_end: int

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60.0, trust_env=False)

    def wait_ready(self) -> None:
        """Wait until engine and kernels are ready."""
        deadline = time.monotonic() + START_S
        with self.client() as http:
            while not (reply := http.get("/ready")).is_success:
                assert time.monotonic() < deadline, (reply.text, self.log.read_text())
                time.sleep(0.05)

    def readiness(self) -> Readiness:
        with self.client() as http:
            return Readiness.model_validate_json(http.get("/ready").content)

    def close_parent_pipe(self) -> None:
        """End as the parent would at its death."""
        if self.parent_end >= 0:
            os.close(self.parent_end)
            self.parent_end = -1

    def relatives(self) -> list[int]:
        """Return the processes that live and came of this server, itself included."""
        return [pid for pid in processes_mentioning(self.mark) if not _is_zombie(pid)]

    def children(self, text: str) -> list[int]:
        """Return the relatives with a text on their command line."""
        return [pid for pid in self.relatives() if text in _command_line(pid)]

    def assert_all_gone(self, within_s: float) -> None:
        """Wait for the end of the server and of all that came of it."""
        deadline = time.monotonic() + within_s
        self.process.wait(within_s)
        while left := self.relatives():
            assert time.monotonic() < deadline, [_command_line(pid) for pid in left]
            time.sleep(0.05)


@contextmanager
def serving(model: Path, folder: Path, *arguments: str) -> Iterator[Server]:
    """Serve a model; at the end whatever still runs is killed."""
    mark = f"/nowhere/{uuid.uuid4().hex}"
    log = folder / "serve.log"
    ready, child_ready = os.pipe()
    child_parent, parent = os.pipe()
    flags = ["--gateway-port", "0", "--engine-model", str(model), "--engine-threads", "1"]
    pipes = ["--ready-fd", str(child_ready), "--parent-fd", str(child_parent)]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command(*flags, *arguments, *pipes),
            env=environment(PATH=f"{os.environ['PATH']}:{mark}"),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            pass_fds=(child_ready, child_parent),
            start_new_session=True,
        )
    os.close(child_ready)
    os.close(child_parent)
    server = Server(process, mark, log, "", parent)
    try:
        line = orjson.loads(_read_line(ready, log))
        assert {*line} == {"url", "pid"}
        assert line["pid"] == process.pid
        server.url = line["url"]
        yield server
    finally:
        server.close_parent_pipe()
        for pid in server.relatives():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(SHUTDOWN_S)


def _read_line(descriptor: int, log: Path) -> bytes:
    """Read the line that the server writes once it listens, and that nothing follows."""
    line = b""
    try:
        while True:
            readable, _, _ = select.select([descriptor], [], [], START_S)
            assert readable, f"no line in time: {log.read_text()}"
            part = os.read(descriptor, 4096)
            if not part:
                assert line.endswith(b"\n"), log.read_text()
                return line
            line += part
    finally:
        os.close(descriptor)


def _is_zombie(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def sentences(text: str) -> Sequence[str]:
    """Return the lines that `quorum` itself wrote, without the log's."""
    return [line for line in text.splitlines() if line.startswith("quorum: ")]
