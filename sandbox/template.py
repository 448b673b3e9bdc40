"""The template process from the pool's side: start it, have it fork, notice its end.

Kernels die with their template: so their ids stay its to give away, and no kernel is ever left that
nobody can reap. A lost template costs the state of its kernels, as a lost kernel does.
"""

import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import anyio

from sandbox.directory import KernelDirectory
from sandbox.environment import kernel_environment
from sandbox.errors import ForkingImpossibleError, TemplateError, TemplateImportError
from sandbox.output import clean, clip
from sandbox.process import ChildProcess, wait_readable
from sandbox.settings import PoolSettings

_PROGRAM = Path(__file__).parent / "inside" / "template.py"

#: More than any reply of the template, which names a process or an error.
_REPLY_BYTES = 1 << 16

#: A fork takes milliseconds; a template that has not answered by then never will.
_ANSWER_WAIT_S = 10.0

#: The code of a kernel's end follows the end itself within a millisecond.
_CODE_WAIT_S = 1.0

_START_LOG_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class TemplateOptions:
    """What `sandbox.inside.template` reads from its file."""

    parent: int
    #: The descriptor of its socket.
    control: int
    #: Where its dry run makes a connection.
    directory: str
    preload: tuple[str, ...]
    preload_if_installed: tuple[str, ...]
    startup_code: str


@dataclass(frozen=True, slots=True)
class KernelRequest:
    """What `sandbox.inside.child` gets to know; no secret may be among it."""

    directory: str
    connection_file: str
    environment: Mapping[str, str]
    max_output_chars: int
    #: A `sandbox.inside.confinement.ConfinementPlan`, as JSON.
    plan: str
    heartbeat: bool = False


@dataclass(slots=True)
class _Answer:
    """What comes back for one request."""

    came: anyio.Event
    pid: int = 0
    pidfd: int = -1
    error: str = ""


class Template:
    """A template process that is ready to fork. Made by `open_template`."""

    def __init__(self, process: ChildProcess, control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._numbers = count(1)
        self._answers: dict[int, _Answer] = {}
        #: Ids of those forked and not yet reaped.
        self._kernels: set[int] = set()
        self._exit_codes: dict[int, int] = {}
        #: Set and replaced whenever a kernel's exit code comes.
        self._code_came = anyio.Event()
        self.lost = False
        #: Duration of each import, in seconds.
        self.import_seconds: Mapping[str, float] = {}

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    async def fork(self, request: KernelRequest, ready: int, start_log: int) -> tuple[int, int]:
        """Fork a kernel; returns its id and a pidfd, which the caller owns.

        Shielded, and bounded: a fork that has been asked for is always awaited, so that no process
        comes into being that nobody owns.

        Raises:
            TemplateError: the template was lost, or the system refused.
        """
        answer = _Answer(anyio.Event())
        number = next(self._numbers)
        message = {"request": number, "kernel": asdict(request)}
        with anyio.CancelScope(shield=True), anyio.move_on_after(_ANSWER_WAIT_S):
            await self._send(message, [ready, start_log], (number, answer))
            await answer.came.wait()
        self._answers.pop(number, None)
        if not answer.came.is_set():
            # It may still fork: only its end makes sure that nothing is left.
            self._process.kill()
            raise TemplateError(f"template did not answer within {_ANSWER_WAIT_S:g} s: killed")
        if answer.error:
            raise TemplateError(f"kernel not forked: {answer.error}")
        return answer.pid, answer.pidfd

    async def exit_code(self, pid: int) -> int | None:
        """The code of a kernel that has ended (a signal's number negative); None if not known."""
        with anyio.move_on_after(_CODE_WAIT_S):
            while pid not in self._exit_codes and not self.lost:
                await self._code_came.wait()
        return self._exit_codes.get(pid)

    async def reap(self, pid: int) -> None:
        """Let the id of a kernel go, as soon as it has ended."""
        self._kernels.discard(pid)
        self._exit_codes.pop(pid, None)
        with suppress(TemplateError):
            await self._send({"reap": pid}, [])

    async def follow(self) -> None:
        """Take in what the template says until it is lost. Cancelled, it may be called again."""
        while not self.lost:
            await wait_readable([self._control.fileno(), self._process.exit_descriptor])
            try:
                if not self._take_messages():
                    self.lose()
            except (ValueError, KeyError, TypeError):
                # Nothing that a sound template says.
                self.lose()

    def lose(self) -> None:
        """Nothing comes from it any more: tell those who wait."""
        self.lost = True
        for answer in self._answers.values():
            answer.error = "the template ended"
            answer.came.set()
        self._answers.clear()
        self._code_came.set()

    def _take_messages(self) -> bool:
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._control, _REPLY_BYTES, 1)
            except BlockingIOError:
                return not self._process.has_exited()
            except OSError:
                return False
            if not data:
                return False
            self._take(json.loads(data), descriptors)

    def _take(self, message: dict[str, Any], descriptors: list[int]) -> None:
        if "exited" in message:
            if message["exited"] in self._kernels:
                self._exit_codes[message["exited"]] = message["code"]
            self._code_came.set()
            self._code_came = anyio.Event()
            return
        answer = self._answers.pop(message["request"], None)
        if answer is None:
            # Nobody waits any more: the template is being killed.
            for descriptor in descriptors:
                os.close(descriptor)
            return
        answer.error = message.get("error", "")
        answer.pid = message.get("pid", 0)
        answer.pidfd = descriptors[0] if descriptors else -1
        if not answer.error and answer.pidfd < 0:
            answer.error = "no descriptor came with it; raise the limit on open files"
        # Already here: the message of its end may be the next.
        self._kernels.add(answer.pid)
        answer.came.set()

    async def _send(
        self,
        message: dict[str, Any],
        descriptors: list[int],
        expected: tuple[int, _Answer] | None = None,
    ) -> None:
        """Send a message; raises TemplateError when the template is lost."""
        data = json.dumps(message).encode()
        while not self.lost:
            try:
                socket.send_fds(self._control, [data], descriptors)
            except BlockingIOError:
                await anyio.wait_writable(self._control)
            except OSError as error:
                raise TemplateError(f"template not reached: {error}") from error
            else:
                if expected is not None:
                    self._answers[expected[0]] = expected[1]
                return
        raise TemplateError("template lost: it is being restarted")


@asynccontextmanager
async def open_template(
    settings: PoolSettings, directory: KernelDirectory
) -> AsyncIterator[Template]:
    """Start a template and give it once it is ready; kill it in the end, its kernels with it.

    Within the block, `Template.follow` must run.

    Raises:
        TemplateImportError: a module of `PoolSettings.preload` cannot be imported.
        ForkingImpossibleError: it has threads, or ended without saying why.
        TemplateError: the start-up code failed, or it was not up within
            `PoolSettings.start_timeout_s`.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        ours.setblocking(False)
        with theirs:
            process = ChildProcess(_spawn(settings, directory, theirs))
        try:
            template = Template(process, ours)
            template.import_seconds = await _ready(settings, directory, process, ours)
            try:
                yield template
            finally:
                template.lose()
        finally:
            await process.aclose()


def _spawn(
    settings: PoolSettings, directory: KernelDirectory, control: socket.socket
) -> "subprocess.Popen[bytes]":
    options = TemplateOptions(
        parent=os.getpid(),
        control=control.fileno(),
        directory=str(directory.path),
        preload=tuple(settings.preload),
        preload_if_installed=tuple(settings.preload_if_installed),
        startup_code=settings.startup_code,
    )
    options_file = directory.path / "options.json"
    options_file.write_text(json.dumps(asdict(options)), encoding="utf-8")
    try:
        with directory.start_log.open("wb") as log:
            return subprocess.Popen(
                # -s and -P: neither the user's packages nor the program's folder are on the path.
                [settings.python, "-s", "-P", str(_PROGRAM), str(options_file)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=directory.home,
                env=kernel_environment(settings, directory),
                pass_fds=(control.fileno(),),
                start_new_session=True,
            )
    except OSError as error:
        raise TemplateError(f"template not started: {error}") from error


async def _ready(
    settings: PoolSettings,
    directory: KernelDirectory,
    process: ChildProcess,
    control: socket.socket,
) -> Mapping[str, float]:
    """Wait for the template's first word; returns the seconds of its imports."""
    with anyio.move_on_after(settings.start_timeout_s):
        await wait_readable([control.fileno(), process.exit_descriptor])
        try:
            message = json.loads(control.recv(_REPLY_BYTES) or b"{}")
        except OSError:
            message = {}
        if "ready" in message:
            return {name: float(took) for name, took in message["import_seconds"].items()}
        raise _startup_error(message, process, directory)
    raise TemplateError(
        f"template not up within {settings.start_timeout_s:g} s; raise PoolSettings.start_timeout_s"
    )


def _startup_error(
    message: Mapping[str, str], process: ChildProcess, directory: KernelDirectory
) -> TemplateError:
    reason = clip(clean(message.get("message", "")), _START_LOG_CHARS)
    match message.get("failed"):
        case "import":
            return TemplateImportError(message["subject"], reason)
        case "startup":
            return TemplateError(f"start-up code failed: {reason}")
        case "threads":
            return ForkingImpossibleError(
                f"template: {reason}; remove what starts them from PoolSettings.preload or the"
                " start-up code"
            )
    process.kill()
    log = clean(directory.start_log.read_text(encoding="utf-8", errors="replace"))
    return ForkingImpossibleError(
        f"template ended at its start: {clip(log.strip(), _START_LOG_CHARS)}"
    )
