"""What every start of a kernel has in common: folder, connection, the wait for ready, greetings."""

import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Self

import anyio
import zmq

from sandbox.channels import Channels, Connection
from sandbox.confinement.confinement import Confinement
from sandbox.confinement.probe import open_confinement
from sandbox.confinement.process import ConfinedProcess
from sandbox.directory import KernelDirectory, PoolDirectory
from sandbox.errors import KernelStartError
from sandbox.inside.confinement import ConfinementPlan
from sandbox.kernel import Kernel
from sandbox.output import clean, clip
from sandbox.process import KernelProcess, wait_readable
from sandbox.settings import PoolSettings

_START_LOG_CHARS = 2_000

#: Starts a process for a kernel's folder, confined by a plan, that writes to a descriptor when its
#: sockets are bound.
Launch = Callable[[KernelDirectory, ConfinementPlan, int], Awaitable[KernelProcess]]


class KernelStarter:
    """Brings kernels up; an async context manager, open as long as they live."""

    def __init__(self, settings: PoolSettings, directory: PoolDirectory) -> None:
        self._settings = settings
        self._directory = directory
        self._context: zmq.Context[Any] | None = None
        self._confinement: Confinement | None = None
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._confinement = await stack.enter_async_context(open_confinement(self._settings))
            self._context = zmq.Context()
            # All sockets are closed by then, without linger: this does not wait.
            stack.callback(self._context.destroy, linger=0)
            self._resources = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._resources.aclose()

    @property
    def confinement(self) -> Confinement:
        """How the kernels are confined; raises ValueError before it is entered."""
        if self._confinement is None:
            raise ValueError("kernel starter not open: enter it before starting kernels")
        return self._confinement

    async def start(self, launch: Launch, startup_code: str = "") -> Kernel:
        """Launch a process, connect to it and run code in it.

        Cancelled or failed, it leaves nothing behind.

        Raises:
            KernelStartError: it did not come up within `PoolSettings.start_timeout_s`.
        """
        limit = self._settings.start_timeout_s
        async with AsyncExitStack() as stack:
            with anyio.move_on_after(limit):
                try:
                    kernel = await self._bring_up(launch, stack)
                    if startup_code:
                        await kernel.prepare(startup_code, "start-up code")
                except (OSError, zmq.ZMQError) as error:
                    raise KernelStartError(f"kernel not started: {error}") from error
                stack.pop_all()
                return kernel
        raise KernelStartError(
            f"kernel not up within {limit:g} s; raise PoolSettings.start_timeout_s"
        )

    async def _bring_up(self, launch: Launch, stack: AsyncExitStack) -> Kernel:
        """Start a kernel; the stack holds the parts until they are a whole."""
        if self._context is None:
            raise ValueError("kernel starter not open: enter it before starting kernels")
        directory = self._directory.kernel_directory()
        stack.push_async_callback(directory.remove)
        connection = Connection.create(directory.socket_prefix)
        connection.write(directory.connection_file)
        confinement = self.confinement
        plan = confinement.plan(directory)
        stack.push_async_callback(confinement.release, plan)
        ready, ready_writer = os.pipe()
        try:
            os.set_blocking(ready, False)
            try:
                launched = await launch(directory, plan, ready_writer)
            finally:
                os.close(ready_writer)
            process = ConfinedProcess(launched, confinement, plan)
            stack.push_async_callback(process.aclose)
            await wait_readable([ready, process.exit_descriptor])
            if not _is_ready(ready):
                raise KernelStartError(await _failure(process, directory))
        finally:
            os.close(ready)
        # Before the kernel has bound its sockets, ZMQ would wait 100 ms between its tries.
        channels = Channels(
            self._context,
            connection,
            max_code_bytes=self._settings.max_code_bytes,
            max_output_chars=self._settings.max_output_chars,
        )
        stack.callback(channels.close)
        kernel = Kernel(process, connection, channels, directory, self._settings)
        await kernel.connect()
        return kernel


def _is_ready(descriptor: int) -> bool:
    try:
        return bool(os.read(descriptor, 16))
    except BlockingIOError:
        return False


async def _failure(process: KernelProcess, directory: KernelDirectory) -> str:
    cause = await process.exit_cause()
    process.kill()
    log = clean(directory.start_log.read_text(encoding="utf-8", errors="replace")).strip()
    return f"kernel ended at its start ({cause}): {clip(log, _START_LOG_CHARS)}"
