"""Cold start: every kernel is a fresh Python process."""

import json
import os
import subprocess
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import anyio
import zmq

from sandbox.channels import Channels, Connection
from sandbox.directory import KernelDirectory, PoolDirectory
from sandbox.errors import KernelStartError
from sandbox.kernel import Kernel
from sandbox.output import clean, clip
from sandbox.process import ChildProcess, wait_readable
from sandbox.settings import PoolSettings

_LAUNCHER = Path(__file__).parent / "inside" / "launch.py"

#: The pool's own variables that a kernel gets to see. Everything else may be a secret.
_PASSED_VARIABLES = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ")

_FIXED_VARIABLES = {
    # Numerical libraries start a thread a core at import; the attempts are the parallelism.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "agg",
    # The order of a set of strings is the same in every run of a solve.
    "PYTHONHASHSEED": "0",
    # Each arena of glibc's malloc reserves 64 MiB of the address space that is limited.
    "MALLOC_ARENA_MAX": "2",
}

_START_LOG_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """What `sandbox.inside.launch` reads from its argument; no secret may be among them."""

    parent: int
    directory: str
    connection_file: str
    ready_descriptor: int
    memory_limit_bytes: int
    file_limit_bytes: int
    max_output_chars: int


class ColdStartFactory:
    """Starts kernels as children of this process. See `sandbox.kernel.KernelFactory`."""

    def __init__(self, settings: PoolSettings, directory: PoolDirectory) -> None:
        self._settings = settings
        self._directory = directory
        self._context: zmq.Context[Any] | None = None

    async def __aenter__(self) -> Self:
        self._context = zmq.Context()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._context is not None:
            # All sockets are closed by now, without linger: this does not wait.
            self._context.destroy(linger=0)

    async def start(self) -> Kernel:
        """See KernelFactory."""
        limit = self._settings.start_timeout_s
        async with AsyncExitStack() as stack:
            with anyio.move_on_after(limit):
                try:
                    kernel = await self._start(stack)
                except (OSError, zmq.ZMQError) as error:
                    raise KernelStartError(f"kernel not started: {error}") from error
                stack.pop_all()
                return kernel
        raise KernelStartError(
            f"kernel not up within {limit:g} s; raise PoolSettings.start_timeout_s"
        )

    async def _start(self, stack: AsyncExitStack) -> Kernel:
        """Start a kernel; the stack holds the parts until they are a whole."""
        if self._context is None:
            raise ValueError("kernel factory not open: enter it before starting kernels")
        directory = self._directory.kernel_directory()
        stack.push_async_callback(directory.remove)
        connection = Connection.create(directory.socket_prefix)
        connection.write(directory.connection_file)
        ready, ready_writer = os.pipe()
        stack.callback(os.close, ready)
        os.set_blocking(ready, False)
        try:
            process = ChildProcess(self._spawn(directory, ready_writer))
        finally:
            os.close(ready_writer)
        stack.push_async_callback(process.aclose)
        await wait_readable([ready, process.exit_descriptor])
        if not _is_ready(ready):
            raise KernelStartError(_failure(process, directory))
        # Before the kernel has bound its sockets, ZMQ would wait 100 ms between its tries.
        channels = Channels(self._context, connection)
        stack.callback(channels.close)
        kernel = Kernel(process, channels, directory, self._settings)
        await kernel.connect()
        await kernel.prepare(self._settings.startup_code, "start-up code")
        os.close(ready)
        return kernel

    def _spawn(self, directory: KernelDirectory, ready_writer: int) -> "subprocess.Popen[bytes]":
        settings = self._settings
        options = LaunchOptions(
            parent=os.getpid(),
            directory=str(directory.path),
            connection_file=str(directory.connection_file),
            ready_descriptor=ready_writer,
            memory_limit_bytes=settings.memory_limit_bytes,
            file_limit_bytes=settings.file_limit_bytes,
            max_output_chars=settings.max_output_chars,
        )
        # -s and -P: neither the user's packages nor the launcher's folder are on the path.
        command = [settings.python, "-s", "-P", str(_LAUNCHER), json.dumps(asdict(options))]
        with directory.start_log.open("wb") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd=directory.home,
                env=kernel_environment(settings, directory),
                pass_fds=(ready_writer,),
                start_new_session=True,
            )


def kernel_environment(settings: PoolSettings, directory: KernelDirectory) -> dict[str, str]:
    """All variables of a kernel's process."""
    passed = {name: os.environ[name] for name in _PASSED_VARIABLES if name in os.environ}
    own = {
        "HOME": str(directory.home),
        "TMPDIR": str(directory.home),
        "IPYTHONDIR": str(directory.profile),
    }
    return {**passed, **_FIXED_VARIABLES, **settings.environment, **own}


def _is_ready(descriptor: int) -> bool:
    try:
        return bool(os.read(descriptor, 16))
    except BlockingIOError:
        return False


def _failure(process: ChildProcess, directory: KernelDirectory) -> str:
    process.kill()
    log = clean(directory.start_log.read_text(encoding="utf-8", errors="replace"))
    return f"kernel ended at its start: {clip(log.strip(), _START_LOG_CHARS)}"
