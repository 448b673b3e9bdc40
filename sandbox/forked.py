"""Forked start: every kernel is a fork of a template process that has imported everything."""

import logging
import os
import signal
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Self

import anyio
from anyio.abc import TaskGroup

from sandbox.confinement.confinement import Confinement
from sandbox.directory import KernelDirectory, PoolDirectory
from sandbox.environment import kernel_environment
from sandbox.errors import TemplateError
from sandbox.inside.confinement import ConfinementPlan
from sandbox.kernel import Kernel, StartStatus
from sandbox.process import KILL_WAIT_S, cause_of, has_ended, kill_tree, send, wait_readable
from sandbox.settings import PoolSettings
from sandbox.starter import KernelStarter
from sandbox.template import KernelRequest, Template, open_template
from sandbox.types import StartMethod

_logger = logging.getLogger(__name__)

#: Pauses before a template that was lost or failed is started again: doubled from the first to the
#: last, so that a broken one costs a few per cent of a core.
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0

#: A template that has lived for so long was not broken: the pauses begin anew.
_HEALTHY_LIFE_S = 60.0


class ForkedProcess:
    """A kernel process that is a child of the template. See `sandbox.process.KernelProcess`."""

    def __init__(self, template: Template, pid: int, pidfd: int) -> None:
        self._template = template
        self._pid = pid
        self._pidfd: int | None = pidfd
        self._cause: str | None = None

    @property
    def pid(self) -> int:
        """See KernelProcess."""
        return self._pid

    @property
    def exit_descriptor(self) -> int:
        """See KernelProcess."""
        if self._pidfd is None:
            raise ValueError("process closed: it has no exit descriptor; do not wait for it")
        return self._pidfd

    def has_exited(self) -> bool:
        """See KernelProcess."""
        return self._pidfd is None or has_ended(self._pidfd)

    async def exit_cause(self) -> str:
        """See KernelProcess."""
        if not self.has_exited():
            return "running"
        if self._cause is None:
            code = await self._template.exit_code(self._pid)
            self._cause = "its template ended" if code is None else cause_of(code)
        return self._cause

    def interrupt(self) -> None:
        """See KernelProcess."""
        if not self.has_exited():
            send(os.killpg, self._pid, signal.SIGINT)

    def kill(self) -> None:
        """See KernelProcess."""
        # Its id is its own until the template has reaped it, at our word; a lost template's
        # kernels are reaped by whoever inherits them, but die with it, as their children do not.
        if self._pidfd is None:
            return
        if not self._template.lost:
            kill_tree(self._pid)
            send(os.killpg, self._pid, signal.SIGKILL)
        elif not has_ended(self._pidfd):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def aclose(self) -> None:
        """See KernelProcess."""
        if self._pidfd is None:
            return
        self.kill()
        try:
            with anyio.CancelScope(shield=True), anyio.move_on_after(KILL_WAIT_S):
                await wait_readable([self._pidfd])
            with anyio.CancelScope(shield=True):
                await self._template.reap(self._pid)
        finally:
            pidfd, self._pidfd = self._pidfd, None
            os.close(pidfd)


class ForkedFactory:
    """Forks kernels from one template process. See `sandbox.kernel.KernelFactory`.

    The template is started with the first kernel, and again after it was lost or has failed: at
    the next kernel's start, after a pause that grows with each failure in a row.
    """

    def __init__(
        self,
        settings: PoolSettings,
        directory: PoolDirectory,
        starter: KernelStarter | None = None,
        *,
        heartbeat: bool = False,
    ) -> None:
        """`starter` is not yet open: it is opened with the factory.

        With `heartbeat`, kernels answer Jupyter's heartbeats.
        """
        self._heartbeat = heartbeat
        self._settings = settings
        self._directory = directory
        self._starter = starter or KernelStarter(settings, directory)
        self._resources = AsyncExitStack()
        self._tasks: TaskGroup | None = None
        self._life: _TemplateLife | None = None
        self._failures = 0
        self._status = StartStatus(StartMethod.FORK)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._starter)
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(self._end_life)
            self._resources = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._tasks = None
        await self._resources.aclose()

    def _end_life(self) -> None:
        if self._life is not None:
            self._life.scope.cancel()

    async def start(self) -> Kernel:
        """See KernelFactory."""
        return await self._starter.start(self._launch)

    @property
    def confinement(self) -> Confinement:
        """See KernelFactory."""
        return self._starter.confinement

    def status(self) -> StartStatus:
        """See KernelFactory."""
        return self._status

    async def _launch(
        self, directory: KernelDirectory, plan: ConfinementPlan, ready_writer: int
    ) -> ForkedProcess:
        request = KernelRequest(
            directory=str(directory.path),
            connection_file=str(directory.connection_file),
            environment=kernel_environment(self._settings, directory),
            max_output_chars=self._settings.max_output_chars,
            plan=plan.to_json(),
            heartbeat=self._heartbeat,
        )
        with directory.start_log.open("wb") as log:
            process = await self._fork(request, ready_writer, log.fileno())
        self._status = replace(self._status, forks=self._status.forks + 1)
        return process

    async def _fork(self, request: KernelRequest, ready: int, log: int) -> ForkedProcess:
        while True:
            template = await self._ready_template()
            try:
                return ForkedProcess(template, *await template.fork(request, ready, log))
            except TemplateError:
                # Lost since it was ready: the next one has a pause that grows, and its own errors.
                if not template.lost:
                    raise

    async def _ready_template(self) -> Template:
        if self._tasks is None:
            raise ValueError("kernel factory not open: enter it before starting kernels")
        if self._life is None or self._life.is_over:
            self._life = _TemplateLife()
            self._tasks.start_soon(self._live_shielded, self._life)
        return await self._life.template()

    async def _live_shielded(self, life: "_TemplateLife") -> None:
        with life.scope:
            await self._live(life)

    async def _live(self, life: "_TemplateLife") -> None:
        """Start a template and follow it to its end."""
        if self._failures:
            pause = _FIRST_PAUSE_S * 2 ** min(self._failures - 1, 20)
            await anyio.sleep(min(pause, _LONGEST_PAUSE_S))
        self._failures += 1
        directory = self._directory.kernel_directory()
        try:
            async with open_template(self._settings, directory) as template:
                life.begin(template)
                self._status = replace(self._status, import_seconds=template.import_seconds)
                with anyio.move_on_after(_HEALTHY_LIFE_S) as probation:
                    await template.follow()
                if probation.cancelled_caught:
                    self._failures = 0
                    await template.follow()
            _logger.error("template %d lost: its kernels are gone; it is replaced", template.pid)
        except (TemplateError, OSError) as error:
            life.fail(error)
        finally:
            life.end()
            await directory.remove()


class _TemplateLife:
    """One template from its start to its end, for those who wait for it."""

    def __init__(self) -> None:
        #: Whoever is cancelled around the factory still closes kernels on the way out.
        self.scope = anyio.CancelScope(shield=True)
        self._over = False
        self._answered = anyio.Event()
        self._template: Template | None = None
        self._error: Exception | None = None

    @property
    def is_over(self) -> bool:
        """Nothing more can be forked from it."""
        return self._over or (self._template is not None and self._template.lost)

    def begin(self, template: Template) -> None:
        """It is ready."""
        self._template = template
        self._answered.set()

    def fail(self, error: Exception) -> None:
        """It does not come up."""
        self._error = error
        self._answered.set()

    def end(self) -> None:
        """It is gone."""
        self._over = True
        self._answered.set()

    async def template(self) -> Template:
        """Wait until it is ready; raises TemplateError or OSError."""
        await self._answered.wait()
        if self._template is None:
            raise self._error or TemplateError("template stopped: the pool is closing")
        return self._template
