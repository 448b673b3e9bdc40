"""Forked kernels for ordinary Jupyter tools: a kernel provisioner of jupyter_client.

A kernel specification asks for it with
`"metadata": {"kernel_provisioner": {"provisioner_name": "quorum-forked"}}`. Its kernels are forked
from one template a process, confined, and work in a private folder that is removed with them.
"""

import asyncio
import atexit
import functools
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import anyio.from_thread
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase

from sandbox.directory import PoolDirectory
from sandbox.errors import KernelStartError, SandboxError
from sandbox.forked import ForkedFactory
from sandbox.kernel import Kernel
from sandbox.process import wait_ended
from sandbox.settings import PoolSettings

#: What `poll` says of a kernel that has ended: jupyter_client asks only whether it is None.
_ENDED = 0

#: The host ends all its kernels when the process does; each of their ends is bounded.
_CLOSE_WAIT_S = 30.0

Answer = TypeVar("Answer")


class KernelHost(threading.Thread):
    """An event loop of its own for the template and its kernels.

    Jupyter's blocking managers have no lasting event loop, and a template dies with the thread that
    started it.
    """

    def __init__(self, settings: PoolSettings | None = None) -> None:
        super().__init__(name="quorum-kernels", daemon=True)
        self._settings = settings or PoolSettings()
        self._opened = threading.Event()
        self._error: SandboxError | None = None
        self._portal: anyio.from_thread.BlockingPortal | None = None
        self._factory: ForkedFactory | None = None

    def open(self) -> None:
        """Start; raises what keeps kernels from being forked or confined here."""
        self.start()
        self._opened.wait()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the template and all kernels."""
        if self._portal is not None and self.is_alive():
            self._portal.start_task_soon(self._portal.stop, True)
            self.join(_CLOSE_WAIT_S)

    def run(self) -> None:
        """The thread's life."""
        try:
            anyio.run(self._host)
        except SandboxError as error:
            self._error = error
        finally:
            self._opened.set()

    async def call(self, function: Callable[..., Awaitable[Answer]], *values: object) -> Answer:
        """Call a coroutine function in the host's loop, from any other."""
        if self._portal is None:
            raise KernelStartError("kernel host not open: open it before starting kernels")
        return await asyncio.wrap_future(self._portal.start_task_soon(function, *values))

    async def start_kernel(self) -> Kernel:
        """Fork a kernel; its channels are closed again: the tool has its own."""
        if self._factory is None:
            raise KernelStartError("kernel host not open: open it before starting kernels")
        kernel = await self._factory.start()
        kernel.channels.close()
        return kernel

    async def _host(self) -> None:
        async with (
            PoolDirectory(self._settings.directory) as directory,
            ForkedFactory(self._settings, directory, heartbeat=True) as factory,
            anyio.from_thread.BlockingPortal() as portal,
        ):
            self._factory, self._portal = factory, portal
            self._opened.set()
            await portal.sleep_until_stopped()


@functools.cache
def shared_host() -> KernelHost:
    """The host of this process, open until it ends."""
    host = KernelHost()
    host.open()
    atexit.register(host.close)
    return host


class ForkedProvisioner(KernelProvisionerBase):
    """Starts a kernel by forking. See jupyter_client's KernelProvisionerBase."""

    _kernel: Kernel | None = None

    @property
    def has_process(self) -> bool:
        """Whether a kernel was launched and not yet cleaned up."""
        return self._kernel is not None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401 - jupyter_client's
        """There is no command: a fork runs none."""
        prepared: dict[str, Any] = await super().pre_launch(cmd=[], **kwargs)
        return prepared

    async def launch_kernel(
        self,
        cmd: list[str],  # noqa: ARG002
        **kwargs: Any,  # noqa: ANN401, ARG002
    ) -> KernelConnectionInfo:
        """Fork; returns how to connect.

        Raises:
            SandboxError: no kernel can be forked or confined here.
        """
        host = await asyncio.to_thread(shared_host)
        self._kernel = await host.call(host.start_kernel)
        self.connection_info = self._kernel.connection.information()
        return self.connection_info

    async def poll(self) -> int | None:
        """None while the kernel runs."""
        running = self._kernel is not None and self._kernel.is_alive()
        return None if running else _ENDED

    async def wait(self) -> int | None:
        """Wait for the kernel's end."""
        if self._kernel is not None and self._kernel.is_alive():
            await shared_host().call(wait_ended, self._kernel.process)
        return _ENDED

    async def send_signal(self, signum: int) -> None:
        """Interrupt, or end: a confined kernel gets no other signal."""
        if self._kernel is None:
            return
        if signum == signal.SIGINT:
            self._kernel.process.interrupt()
        elif signum in {signal.SIGTERM, signal.SIGKILL}:
            self._kernel.kill()

    async def kill(self, restart: bool = False) -> None:  # noqa: ARG002
        """End it with all its processes."""
        if self._kernel is not None:
            self._kernel.kill()

    async def terminate(self, restart: bool = False) -> None:
        """End it: it has been asked already, by message."""
        await self.kill(restart)

    async def cleanup(self, restart: bool = False) -> None:  # noqa: ARG002
        """Remove what it has left."""
        kernel, self._kernel = self._kernel, None
        if kernel is not None:
            await shared_host().call(kernel.aclose)
