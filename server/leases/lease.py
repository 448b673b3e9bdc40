"""One lease over HTTP: a task that holds a kernel for as long as its holder is heard from."""

import math

import anyio
import anyio.lowlevel
import structlog
from anyio.abc import TaskGroup

from client.schema import LeaseRequest
from sandbox.errors import CellRequestError, SandboxError
from sandbox.lease import KernelLease
from sandbox.pool import KernelPool
from server.leases.cell import LeasedCell
from server.leases.errors import (
    BusyLeaseError,
    CellDefectError,
    ExpiredLeaseError,
    LeaseServiceError,
    NoKernelError,
    RefusedCellError,
)

log = structlog.get_logger(__name__)

#: Seconds that a kernel which was free has to be made ready; that is no wait for one.
SEEDING_S = 5.0


class HttpLease:
    """Waits for a kernel, keeps it, and lets it go when it expires or is ended.

    `hold` is its task. It expires `ttl_s` seconds after the grant, the last heartbeat or the end of
    the last cell, whichever came last; while a cell runs it does not.
    """

    def __init__(self, lease_id: str, request: LeaseRequest) -> None:
        self.lease_id = lease_id
        self.request = request
        self.cells = 0
        #: Seconds on the loop's clock.
        self.asked_at = anyio.current_time()
        self.granted_at = math.nan
        #: Set when it is granted, and when it has ended.
        self._settled = anyio.Event()
        self._scope = anyio.CancelScope()
        #: Why it ended, once it has or soon will.
        self._end: LeaseServiceError | None = None
        self._asked: KernelLease | None = None
        self._kernel: KernelLease | None = None
        self._tasks: TaskGroup | None = None
        self._cell: LeasedCell | None = None

    @property
    def is_held(self) -> bool:
        """Whether it has a kernel and has not ended."""
        gone = self._end is not None or self._scope.cancel_called
        return self._kernel is not None and not gone

    @property
    def is_busy(self) -> bool:
        """Whether a cell runs."""
        return self._cell is not None

    @property
    def expires_in_s(self) -> float | None:
        """Seconds until it expires; None while it does not."""
        left_s = self._scope.deadline - anyio.current_time()
        return max(left_s, 0.0) if math.isfinite(left_s) else None

    @property
    def ending(self) -> LeaseServiceError:
        """Why it has no kernel any more."""
        return self._end or self._expired()

    def end(self, reason: LeaseServiceError) -> None:
        """Let the kernel go, or the wait for one; the first reason counts."""
        self._end = self._end or reason
        self._scope.cancel()

    def abandon(self) -> None:
        """End it because its holder went away before knowing its id."""
        self.end(NoKernelError("the caller went away before it was given the lease"))

    def heartbeat(self) -> None:
        """Count its time from now on again; while a cell runs it does not pass."""
        if self._cell is None:
            self._scope.deadline = anyio.current_time() + self.request.ttl_s

    async def settled(self) -> None:
        """Wait until it is granted, or until it has ended without; gives up after `wait_s`."""
        # One turn of the loop, in which the pool is asked.
        await anyio.lowlevel.checkpoint()
        with anyio.move_on_after(self.request.wait_s):
            await self._settled.wait()
        if self._kernel is None and self._asked is not None and self._asked.has_kernel:
            with anyio.move_on_after(SEEDING_S):
                await self._settled.wait()
        if self._kernel is None:
            waited = f"no kernel within {self.request.wait_s:g} s (wait_s): all are in use"
            self.end(NoKernelError(f"{waited}; ask again, or wait longer"))

    async def hold(self, pool: KernelPool) -> None:
        """Wait for a kernel and keep it until the end."""
        owner = f"http {self.request.owner}".strip()
        try:
            with self._scope:
                self._asked = pool.lease(seed=self.request.seed, owner=owner)
                async with (
                    self._asked as self._kernel,
                    anyio.create_task_group() as self._tasks,
                ):
                    self.granted_at = anyio.current_time()
                    self.heartbeat()
                    self._settled.set()
                    await anyio.sleep_forever()
        except SandboxError as error:
            self._end = self._end or NoKernelError(str(error))
        finally:
            self._end = self._end or self._expired()
            self._settled.set()

    def execute(self, code: str, timeout_s: float | None, *, watched: bool) -> LeasedCell:
        """Start a cell; `watched`: its output is wanted while it runs.

        Raises:
            BusyLeaseError: one runs already.
            LeaseServiceError: the lease has ended.
        """
        if self._tasks is None or self._kernel is None or not self.is_held:
            raise self.ending
        if self._cell is not None:
            raise BusyLeaseError(
                "the lease runs one cell at a time: wait for the running one, or interrupt it"
            )
        self._cell = LeasedCell(code, timeout_s)
        self._scope.deadline = math.inf
        self._tasks.start_soon(self._run, self._cell, self._kernel, watched)
        return self._cell

    def interrupt(self) -> bool:
        """Interrupt the running cell; False when none runs."""
        if self._cell is None:
            return False
        self._cell.interrupt()
        return True

    async def _run(self, cell: LeasedCell, kernel: KernelLease, watched: bool) -> None:
        observe = cell.add_output if watched else None
        try:
            cell.end(await kernel.execute(cell.code, cell.timeout_s, observe, cell.interruption))
        except CellRequestError as error:
            cell.end(RefusedCellError(str(error)))
        except SandboxError as error:
            cell.end(NoKernelError(str(error)))
        except Exception as error:
            # A defect ends this cell, not the leases of everybody.
            log.exception("cell.failed")
            cell.end(CellDefectError(f"{type(error).__name__} in the server; its log says more"))
        finally:
            self._cell = None
            self.cells += 1
            self.heartbeat()
            # Still without an outcome, it was cancelled together with the lease.
            cell.end(self.ending)

    def _expired(self) -> ExpiredLeaseError:
        return ExpiredLeaseError(
            f"the lease expired: nothing was heard for {self.request.ttl_s:g} s (ttl_s); take a "
            "new one, and send heartbeats"
        )
