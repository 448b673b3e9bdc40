"""A server for the time of one command: started as a child process, stopped whatever happens.

The child is told two descriptors: on `--ready-fd` it writes one line of JSON, {"url", "pid"}, when
it listens; on `--parent-fd` it reads the end of this process, should that be killed, and shuts
down. It leads its own process group, so Ctrl-C in the terminal reaches this process alone, which
then ends it in order: SIGTERM, a wait, SIGKILL to the group.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import IO, Self

import anyio
from anyio.abc import Process
from pydantic import BaseModel, ValidationError

from client.errors import LocalServerFailed, QuorumClientError, RequestRefused, TransportError
from client.registry import is_installed

#: Seconds until the child must listen: importing it takes two to three on a slow disk.
LISTEN_TIMEOUT_S = 60.0
#: Seconds that a server has to end its solves, kernels and engine: its own limit is 10.
STOP_TIMEOUT_S = 15.0
#: Seconds to wait for the system to reap what was killed.
KILL_TIMEOUT_S = 5.0
#: Seconds until the death of a child that cut a connection is noticed.
DEATH_NOTICE_S = 1.0
#: Lines of the child's log that an error shows.
LOG_LINES = 15
_LOG_TAIL_BYTES = 16_384
_READY_BYTES = 4_096


def serve_command() -> list[str]:
    """Return the command that serves on a free port."""
    # a folder `client` where the user happens to be must not be taken for ours
    safe_path = ["-P"] if is_installed() else []
    return [sys.executable, *safe_path, "-m", "client.main", "serve", "--gateway-port", "0"]


class ReadyLine(BaseModel):
    """What the server writes when it listens."""

    url: str
    pid: int


class LocalServer:
    """A running child; `url` is where it listens."""

    def __init__(self, process: Process, url: str, log: Path) -> None:
        self._process = process
        self.url = url
        self.log = log

    def check(self) -> None:
        """Raise `LocalServerFailed` if the child has ended."""
        if self._process.returncode is not None:
            raise _failure(self._process, self.log, "died")

    async def explain(self, error: TransportError) -> QuorumClientError:
        """Return what to raise for a failed call: the child's death, if that is the reason."""
        with anyio.move_on_after(DEATH_NOTICE_S):
            await self._process.wait()
            return _failure(self._process, self.log, "died")
        error.add_note(f"its log: {self.log}")
        return error


@asynccontextmanager
async def local_server(
    arguments: Sequence[str] = (),
    command: Sequence[str] | None = None,
    impatient: anyio.Event | None = None,
) -> AsyncIterator[LocalServer]:
    """Start a server with more arguments to `quorum serve`; stop it at the end.

    Raises `LocalServerFailed` when it ends before it listens, or takes longer than
    `LISTEN_TIMEOUT_S`, with the last lines of its log. Setting `impatient` during the stop kills
    it at once. The log is deleted unless the body or the server failed.
    """
    with _log_file() as (log, path), _Pipes() as pipes:
        start = [*(command or serve_command()), *arguments, *pipes.arguments]
        process = await _spawn(start, log, pipes)
        try:
            url = await _listening(process, pipes, path)
            yield LocalServer(process, url, path)
        finally:
            with anyio.CancelScope(shield=True):
                await _stop(process, impatient or anyio.Event())


@contextmanager
def _log_file() -> Iterator[tuple[IO[bytes], Path]]:
    """Open a file for the child's output, kept only when the body fails, not by its caller."""
    with _new_log() as log:
        path = Path(log.name)
        try:
            yield log, path
        except (BrokenPipeError, RequestRefused):  # no fault of the server's
            path.unlink(missing_ok=True)
            raise
        except Exception:
            raise
        except BaseException:  # cancelled: nobody will ask why
            path.unlink(missing_ok=True)
            raise
        else:
            path.unlink(missing_ok=True)


def _new_log() -> IO[bytes]:
    try:
        return tempfile.NamedTemporaryFile(prefix="quorum-serve-", suffix=".log", delete=False)
    except OSError as error:
        raise LocalServerFailed(
            f"no log for a server can be made ({error}); set TMPDIR to a folder with space that "
            "can be written"
        ) from error


class _Pipes:
    """The two pipes between parent and child; all four ends close at the end."""

    def __enter__(self) -> Self:
        self.ready, self.child_ready = os.pipe()
        self.child_parent, self.parent = os.pipe()
        self._open = {self.ready, self.child_ready, self.child_parent, self.parent}
        return self

    def __exit__(self, *_error: object) -> None:
        self.close(*self._open)

    @property
    def arguments(self) -> list[str]:
        return ["--ready-fd", str(self.child_ready), "--parent-fd", str(self.child_parent)]

    def close(self, *descriptors: int) -> None:
        for descriptor in descriptors:
            os.close(descriptor)
        self._open -= {*descriptors}


async def _spawn(command: Sequence[str], log: IO[bytes], pipes: _Pipes) -> Process:
    try:
        # Cancelled in mid-start, the process would be nobody's to end.
        with anyio.CancelScope(shield=True):
            process = await anyio.open_process(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(pipes.child_ready, pipes.child_parent),
            )
    except OSError as error:
        raise LocalServerFailed(f"the server cannot be started: {error}") from error
    # held here too, the child's ends would hide its death
    pipes.close(pipes.child_ready, pipes.child_parent)
    return process


async def _listening(process: Process, pipes: _Pipes, log: Path) -> str:
    """Wait for the child's line, its death or `LISTEN_TIMEOUT_S`."""
    line = b""

    async def read_line() -> None:
        nonlocal line
        while b"\n" not in line and len(line) < _READY_BYTES:
            await anyio.wait_readable(pipes.ready)
            part = os.read(pipes.ready, _READY_BYTES)
            if not part:  # closed without a line: its exit code tells more
                await process.wait()
            line += part
        group.cancel_scope.cancel()

    with anyio.move_on_after(LISTEN_TIMEOUT_S) as limit:
        async with anyio.create_task_group() as group:
            group.start_soon(read_line)
            # a descendant may hold the pipe open after the child's death
            await process.wait()
            group.cancel_scope.cancel()
    if limit.cancelled_caught:
        raise _failure(process, log, f"did not listen within {LISTEN_TIMEOUT_S:g} s")
    try:
        return ReadyLine.model_validate_json(line).url
    except ValidationError as error:
        what = "ended before it listened" if process.returncode is not None else "wrote nonsense"
        raise _failure(process, log, what) from error


async def _stop(process: Process, impatient: anyio.Event) -> None:
    """End the child: SIGTERM, wait, then SIGKILL to its group, which never outlives it."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
        await _ended(process, impatient, STOP_TIMEOUT_S)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with anyio.move_on_after(KILL_TIMEOUT_S):
        await process.wait()


async def _ended(process: Process, impatient: anyio.Event, timeout_s: float) -> None:
    """Wait for the child's end, at most `timeout_s`, and not when the user is impatient."""
    with anyio.move_on_after(timeout_s):
        async with anyio.create_task_group() as group:

            async def give_up() -> None:
                await impatient.wait()
                group.cancel_scope.cancel()

            group.start_soon(give_up)
            await process.wait()
            group.cancel_scope.cancel()


def _failure(process: Process, log: Path, what: str) -> LocalServerFailed:
    code = "" if process.returncode is None else f" (exit code {process.returncode})"
    error = LocalServerFailed(f"the server started for this command {what}{code}; its log: {log}")
    tail = _tail(log)
    if tail:
        error.add_note(tail)
    return error


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return "\n".join(f"  | {line}" for line in lines[-LOG_LINES:])
