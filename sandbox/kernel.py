"""A running kernel, and the protocol of what makes one."""

import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from sandbox.channels import Channels, Connection
from sandbox.confinement.confinement import Confinement
from sandbox.directory import KernelDirectory
from sandbox.errors import KernelStartError
from sandbox.execution import CellOutcome, Ending, Interruption, handshake, run_cell
from sandbox.live import OUTPUT_FILE, OutputObserver, following, written_so_far
from sandbox.output import clean, ending_notice
from sandbox.process import KernelProcess
from sandbox.settings import PoolSettings
from sandbox.types import CellResult, CellStatus, InterruptStep, StartMethod

_ERROR_NAME_CHARS = 100


@dataclass(frozen=True, slots=True)
class StartStatus:
    """How a factory makes kernels."""

    method: StartMethod
    #: Why it is not the better method; empty where it is.
    detail: str = ""
    #: Kernels forked so far.
    forks: int = 0
    #: How long the template's imports took, in seconds, in order.
    import_seconds: Mapping[str, float] = field(default_factory=dict)


class KernelFactory(AbstractAsyncContextManager["KernelFactory"], Protocol):
    """Makes kernels; an async context manager, open as long as its kernels live."""

    @property
    def confinement(self) -> Confinement:
        """How the kernels are confined; raises ValueError before it is entered."""

    def status(self) -> StartStatus:
        """How it makes them now."""

    async def start(self) -> "Kernel":
        """A pristine kernel that has run the start-up code.

        Cancelled or failed, it leaves nothing behind.

        Raises:
            KernelStartError: it did not come up within `PoolSettings.start_timeout_s`.
        """


@dataclass(eq=False, slots=True)
class Kernel:
    """A kernel process with its channels and its folder. Owned by whoever got it: close it."""

    process: KernelProcess
    connection: Connection
    channels: Channels
    directory: KernelDirectory
    settings: PoolSettings
    _condemned: str = field(default="", init=False)

    def is_alive(self) -> bool:
        """Whether its process still runs."""
        return not self.process.has_exited()

    async def connect(self) -> None:
        """Make sure that both channels work.

        Raises:
            KernelStartError: the process ended first.
        """
        if await handshake(self.channels, self.process) is not Ending.DONE:
            raise KernelStartError(f"kernel ended at its start ({await self.process.exit_cause()})")

    async def prepare(self, code: str, purpose: str) -> None:
        """Run code of our own, silently.

        Raises:
            KernelStartError: it did not run to its end without an error.
        """
        outcome = await self._run(code, self.settings.start_timeout_s, silent=True)
        if outcome.ending is not Ending.DONE or outcome.reply.get("status") != "ok":
            reason = clean(outcome.text.render()).strip() or outcome.ending.name.lower()
            raise KernelStartError(f"{purpose} failed: {reason}")

    async def execute(
        self,
        code: str,
        timeout_s: float,
        interruption: Interruption | None = None,
        observe: OutputObserver | None = None,
    ) -> CellResult:
        """Run a cell; when the result says that state was lost, the kernel is dead.

        Cancelled, it leaves the cell running: kill the kernel then.
        """
        begin = time.monotonic()
        path, limit = self.directory.path / OUTPUT_FILE, self.settings.max_output_chars
        async with following(path, limit, observe) as live:
            outcome = await self._run(code, timeout_s, silent=False, interruption=interruption)
        text = outcome.text
        status = _status(outcome)
        lost = outcome.ending is not Ending.DONE
        cause = ""
        if lost:
            cause = self._condemned or (
                "it stopped answering" if self.is_alive() else await self.process.exit_cause()
            )
            self.process.kill()
            if not text.head:
                text = written_so_far(path, limit)
        notice = ending_notice(status, outcome.step, timeout_s, cause)
        name = outcome.reply.get("ename")
        output = _joined(clean(text.render()), notice)
        live.finish(text.render(), output)
        return CellResult(
            output=output,
            status=status,
            interrupt_step=outcome.step,
            state_lost=lost,
            seconds=time.monotonic() - begin,
            truncated=text.cut > 0,
            error_name=clean(name)[:_ERROR_NAME_CHARS] if isinstance(name, str) else None,
        )

    def kill(self) -> None:
        """End it at once; `aclose` is still due."""
        self.process.kill()

    def condemn(self, cause: str) -> None:
        """End it at once for a reason that its cell's result names."""
        self._condemned = cause
        self.process.kill()

    async def aclose(self) -> None:
        """Kill the process, wait for its end and remove its folder; shielded and bounded."""
        self.channels.close()
        await self.process.aclose()
        await self.directory.remove()

    async def _run(
        self,
        code: str,
        timeout_s: float,
        *,
        silent: bool,
        interruption: Interruption | None = None,
    ) -> CellOutcome:
        return await run_cell(
            self.channels,
            self.process,
            # No encoding has lone surrogates: Python would refuse the source as a whole.
            code.encode("utf-8", "replace").decode(),
            timeout_s=timeout_s,
            grace_s=self.settings.interrupt_grace_s,
            max_output_chars=self.settings.max_output_chars,
            silent=silent,
            interruption=interruption,
        )


def _status(outcome: CellOutcome) -> CellStatus:
    if outcome.ending in {Ending.EXITED, Ending.BROKEN}:
        return CellStatus.DIED
    if outcome.step is not InterruptStep.NONE:
        return CellStatus.INTERRUPTED if outcome.interrupted else CellStatus.TIMEOUT
    return CellStatus.OK if outcome.reply.get("status") == "ok" else CellStatus.ERROR


def _joined(output: str, notice: str) -> str:
    if not notice:
        return output
    separator = "\n" if output and not output.endswith("\n") else ""
    return f"{output}{separator}{notice}\n"
