"""A lease: one kernel for one attempt, from a pristine start to its discarding."""

import math
import time
from dataclasses import replace
from types import TracebackType
from typing import Protocol, Self

from sandbox.errors import (
    CellTimeoutError,
    CodeTooLargeError,
    KernelStartError,
    LeaseBusyError,
    LeaseNotEnteredError,
    LeaseReleasedError,
)
from sandbox.execution import Interruption
from sandbox.kernel import Kernel
from sandbox.live import OutputObserver
from sandbox.settings import PoolSettings
from sandbox.startup import seeding_code
from sandbox.tickets import Ticket
from sandbox.types import CellResult, CellStatus, LossReason

#: Kernels that a lease takes, one after the other, where they end before they are seeded: the first
#: may have been a spare whose template was just killed, the second the last of its spares.
TAKEN_AT_MOST = 3


class KernelSource(Protocol):
    """What a lease needs of its pool; nothing here waits, and only `apply` raises."""

    settings: PoolSettings

    def apply(self, owner: str) -> Ticket:
        """Queue for a place and a kernel. Raises PoolClosedError."""

    def renew(self, ticket: Ticket) -> None:
        """Queue for another kernel, with the place kept."""

    def withdraw(self, ticket: Ticket) -> None:
        """Give up the place, and a kernel that was handed over but not taken."""

    def discard(self, kernel: Kernel, reason: LossReason | None) -> None:
        """Kill a kernel at once and clean up behind it in the background."""

    def count_lease(self, waited_s: float) -> None:
        """Note that a lease was granted, after a wait of so many seconds."""

    def count_cell(self, seconds: float) -> None:
        """Note that a cell has run."""


class KernelLease:
    """A stateful kernel that is the caller's for as long as the `async with` lasts.

    Entering waits, in order of arrival, for a place and a kernel; the wait can be cancelled. It
    raises PoolClosedError, or KernelStartError when no kernel comes up.
    """

    def __init__(self, pool: KernelSource, seed: int, owner: str) -> None:
        self._pool = pool
        self._seed = seed
        self._owner = owner
        self._kernel: Kernel | None = None
        self._ticket: Ticket | None = None
        self._released = False
        self._busy = False
        #: The kernel was lost since the last result, which could not say so.
        self._unreported_loss = False

    @property
    def owner(self) -> str:
        """Who holds the lease, as the caller named it."""
        return self._owner

    @property
    def has_kernel(self) -> bool:
        """Whether it has one, or is about to take one that was free."""
        return self._kernel is not None or (self._ticket is not None and self._ticket.has_kernel)

    async def __aenter__(self) -> Self:
        if self._ticket is not None:
            raise LeaseNotEnteredError(
                f"lease of {self._owner}: entered twice; take a new lease from the pool"
            )
        begin = time.monotonic()
        self._ticket = self._pool.apply(self._owner)
        try:
            await self._take_kernel(self._ticket)
        except BaseException:
            self.release()
            raise
        self._pool.count_lease(time.monotonic() - begin)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._released:
            self.release()

    def release(self) -> None:
        """End the lease before its `async with` does; the kernel is killed at once.

        Raises:
            LeaseReleasedError: it has ended already.
            LeaseNotEnteredError: it was never entered.
        """
        ticket = self._held_ticket()
        self._released = True
        kernel, self._kernel = self._kernel, None
        if kernel is not None:
            self._pool.discard(kernel, None)
        self._pool.withdraw(ticket)

    async def execute(
        self,
        code: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the time-out is the cell's, with a result of its own
        observe: OutputObserver | None = None,
        interruption: Interruption | None = None,
    ) -> CellResult:
        """Run a cell.

        Args:
            code: Python source, with IPython's magics, at most `PoolSettings.max_code_bytes`.
            timeout: seconds until it is interrupted; `PoolSettings.cell_timeout_s` when None.
            observe: told the output as it comes, in pieces; see `sandbox.live`.
            interruption: asked, it ends the cell by the steps that a time-out takes; the result
                says so.

        A kernel that was lost is replaced first; the wait for it does not count as the cell's.
        Cancelled, the kernel is killed, and the next cell gets a new one.

        Raises:
            LeaseNotEnteredError, LeaseReleasedError, LeaseBusyError: see their docstrings.
            CodeTooLargeError, CellTimeoutError: nothing was run.
            PoolClosedError, KernelStartError: there is no kernel; a later cell may find one.
        """
        ticket = self._held_ticket()
        timeout_s = self._validated(code, timeout)
        self._busy = True
        try:
            kernel = await self._living_kernel(ticket)
            result = await kernel.execute(code, timeout_s, interruption, observe)
        except BaseException:
            self._lose_kernel(ticket, LossReason.CANCELLED)
            raise
        finally:
            self._busy = False
        return self._account(ticket, result)

    def _validated(self, code: str, timeout: float | None) -> float:
        if self._busy:
            raise LeaseBusyError(
                f"lease of {self._owner}: one cell at a time; await the running one first"
            )
        settings = self._pool.settings
        timeout_s = settings.cell_timeout_s if timeout is None else timeout
        if not (math.isfinite(timeout_s) and timeout_s > 0):
            raise CellTimeoutError(
                f"cell time-out {timeout_s!r}: must be a positive number of seconds"
            )
        size = len(code.encode("utf-8", "replace"))
        if size > settings.max_code_bytes:
            raise CodeTooLargeError(
                f"cell of {size} bytes: at most {settings.max_code_bytes};"
                " split it, or raise PoolSettings.max_code_bytes"
            )
        return timeout_s

    def _held_ticket(self) -> Ticket:
        if self._released:
            raise LeaseReleasedError(
                f"lease of {self._owner}: already released; take a new lease from the pool"
            )
        if self._ticket is None:
            raise LeaseNotEnteredError(
                f"lease of {self._owner}: not entered; use it within `async with`"
            )
        return self._ticket

    async def _living_kernel(self, ticket: Ticket) -> Kernel:
        if self._kernel is not None and not self._kernel.is_alive():
            self._lose_kernel(ticket, LossReason.DIED)
        if self._kernel is not None:
            return self._kernel
        if not ticket.is_pending:
            # The replacement that was asked for at the loss could not be started then.
            self._pool.renew(ticket)
        return await self._take_kernel(ticket)

    async def _take_kernel(self, ticket: Ticket) -> Kernel:
        """Wait for a kernel and seed it; one that ends just then is nobody's fault: take another.

        What is lost here held no state yet, so nothing is to be reported.
        """
        unreported = self._unreported_loss
        for others in reversed(range(TAKEN_AT_MOST)):
            kernel = self._kernel = await ticket.wait()
            try:
                await kernel.prepare(seeding_code(self._seed), "seeding")
            except KernelStartError:
                ended = not kernel.is_alive()
                self._lose_kernel(ticket, LossReason.START)
                self._unreported_loss = unreported
                if not (ended and others):
                    raise
            else:
                return kernel
        raise AssertionError("unreachable: the last one is returned or raises")

    def _lose_kernel(self, ticket: Ticket, reason: LossReason) -> None:
        """Discard the kernel and ask for another at once, so that it is there when needed."""
        kernel, self._kernel = self._kernel, None
        if kernel is None or self._released:
            return
        self._unreported_loss = True
        self._pool.discard(kernel, reason)
        self._pool.renew(ticket)

    def _account(self, ticket: Ticket, result: CellResult) -> CellResult:
        self._pool.count_cell(result.seconds)
        if result.state_lost:
            died = result.status is CellStatus.DIED
            self._lose_kernel(ticket, LossReason.DIED if died else LossReason.TIMEOUT)
        lost, self._unreported_loss = self._unreported_loss, False
        return replace(result, state_lost=lost)
