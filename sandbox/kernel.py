"""A running kernel, and the protocol of what makes one."""

import os
import stat
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sandbox.channels import Channels
from sandbox.directory import KernelDirectory
from sandbox.errors import KernelStartError
from sandbox.execution import CellOutcome, Ending, handshake, run_cell
from sandbox.output import BoundedText, clean, ending_notice
from sandbox.process import KernelProcess
from sandbox.settings import PoolSettings
from sandbox.types import CellResult, CellStatus, InterruptStep

#: The capture's file (`sandbox.inside.capture`): there while a cell runs, so also when it was
#: killed in the middle.
_OUTPUT_FILE = "output"

_ERROR_NAME_CHARS = 100


class KernelFactory(AbstractAsyncContextManager["KernelFactory"], Protocol):
    """Makes kernels; an async context manager, open as long as its kernels live."""

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
    channels: Channels
    directory: KernelDirectory
    settings: PoolSettings

    def is_alive(self) -> bool:
        """Whether its process still runs."""
        return not self.process.has_exited()

    async def connect(self) -> None:
        """Make sure that both channels work.

        Raises:
            KernelStartError: the process ended first.
        """
        if await handshake(self.channels, self.process) is not Ending.DONE:
            raise KernelStartError(f"kernel ended at its start ({self.process.exit_cause()})")

    async def prepare(self, code: str, purpose: str) -> None:
        """Run code of our own, silently.

        Raises:
            KernelStartError: it did not run to its end without an error.
        """
        outcome = await self._run(code, self.settings.start_timeout_s, silent=True)
        if outcome.ending is not Ending.DONE or outcome.reply.get("status") != "ok":
            reason = clean(outcome.text.render()).strip() or outcome.ending.name.lower()
            raise KernelStartError(f"{purpose} failed: {reason}")

    async def execute(self, code: str, timeout_s: float) -> CellResult:
        """Run a cell; when the result says that state was lost, the kernel is dead.

        Cancelled, it leaves the cell running: kill the kernel then.
        """
        begin = time.monotonic()
        outcome = await self._run(code, timeout_s, silent=False)
        text = outcome.text
        status = _status(outcome)
        lost = outcome.ending is not Ending.DONE
        cause = ""
        if lost:
            cause = "it stopped answering" if self.is_alive() else self.process.exit_cause()
            self.process.kill()
            if not text.head:
                text = _written_so_far(self.directory.path / _OUTPUT_FILE, self.settings)
        notice = ending_notice(status, outcome.step, timeout_s, cause)
        name = outcome.reply.get("ename")
        return CellResult(
            output=_joined(clean(text.render()), notice),
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

    async def aclose(self) -> None:
        """Kill the process, wait for its end and remove its folder; shielded and bounded."""
        self.channels.close()
        await self.process.aclose()
        await self.directory.remove()

    async def _run(self, code: str, timeout_s: float, *, silent: bool) -> CellOutcome:
        return await run_cell(
            self.channels,
            self.process,
            # No encoding has lone surrogates: Python would refuse the source as a whole.
            code.encode("utf-8", "replace").decode(),
            timeout_s=timeout_s,
            grace_s=self.settings.interrupt_grace_s,
            max_output_chars=self.settings.max_output_chars,
            silent=silent,
        )


def _status(outcome: CellOutcome) -> CellStatus:
    if outcome.ending in {Ending.EXITED, Ending.BROKEN}:
        return CellStatus.DIED
    if outcome.step is not InterruptStep.NONE:
        return CellStatus.TIMEOUT
    return CellStatus.OK if outcome.reply.get("status") == "ok" else CellStatus.ERROR


def _joined(output: str, notice: str) -> str:
    if not notice:
        return output
    separator = "\n" if output and not output.endswith("\n") else ""
    return f"{output}{separator}{notice}\n"


def _written_so_far(path: Path, settings: PoolSettings) -> BoundedText:
    """What a killed cell had written; empty where there is nothing that can be read safely."""
    text = BoundedText(settings.max_output_chars)
    try:
        # The cell could have put a link or a pipe in the file's place.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return text
    try:
        information = os.fstat(descriptor)
        if stat.S_ISREG(information.st_mode) and information.st_nlink == 1:
            budget = settings.max_output_chars * 4
            text.append(os.pread(descriptor, budget, 0).decode("utf-8", "replace"))
            text.skip(information.st_size - budget)
    finally:
        os.close(descriptor)
    return text
