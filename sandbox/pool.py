"""The kernel pool: leases in order of arrival, kernels started ahead, everything gone at close."""

import logging
import os
from collections import Counter, deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from sandbox.confinement.confinement import Confinement
from sandbox.confinement.tiers import Tier
from sandbox.directory import PoolDirectory
from sandbox.errors import KernelStartError, PoolClosedError, PoolNotReadyError
from sandbox.factories import make_factory
from sandbox.flood import FloodGuard
from sandbox.kernel import Kernel, KernelFactory, StartStatus
from sandbox.lease import KernelLease
from sandbox.process import wait_ended
from sandbox.settings import PoolSettings
from sandbox.tickets import Ticket
from sandbox.types import LossReason, PoolStatus, StartMethod

_logger = logging.getLogger(__name__)

#: One kernel is prepared here while others start there; more at a time only delay the first.
_CONCURRENT_STARTS = (os.cpu_count() or 1) + 1

#: Makes the factory of a pool's kernels once the pool's private directory is there.
FactoryMaker = Callable[[PoolSettings, PoolDirectory], KernelFactory]


class KernelPool:
    """Leases Jupyter kernels; an async context manager.

    ::

        async with KernelPool(PoolSettings(kernels=4)) as pool:
            async with pool.lease(seed=7, owner="solve-1/attempt-0") as kernel:
                result = await kernel.execute("2**127 - 1", timeout=6.0)

    At most `PoolSettings.kernels` leases are out at a time; further ones wait in order of arrival.
    Up to `PoolSettings.spares` kernels are kept started within that number, and as many more as
    make `PoolSettings.minimum` with those that are leased. Closing kills all kernels, those in a
    lease too, and removes every file and socket.
    """

    def __init__(
        self,
        settings: PoolSettings | None = None,
        make_factory: FactoryMaker = make_factory,
    ) -> None:
        self.settings = settings or PoolSettings()
        self._make_factory = make_factory
        self._resources = AsyncExitStack()
        self._factory: KernelFactory | None = None
        self._confinement: Confinement | None = None
        self._tasks: TaskGroup | None = None
        #: Kernels that closing the pool must end: spare or in a lease, but not yet discarded.
        self._alive: set[Kernel] = set()
        #: Applications without a place, and tickets with one that await a kernel.
        self._arrivals: deque[Ticket] = deque()
        self._admitted: deque[Ticket] = deque()
        self._holders: list[Ticket] = []
        self._spare: deque[Kernel] = deque()
        self._starting = 0
        self._retiring = 0
        self._start_slots = anyio.Semaphore(_CONCURRENT_STARTS)
        self._changed = anyio.Event()
        #: Why the last start failed; no spares are started until a lease's own start succeeds.
        self._start_error: KernelStartError | None = None
        self._started = 0
        self._leases = 0
        self._wait_seconds = 0.0
        self._longest_wait_seconds = 0.0
        self._lost: Counter[LossReason] = Counter()
        self._cells = 0
        self._cell_seconds = 0.0

    async def __aenter__(self) -> Self:
        if self._tasks is not None or self._started:
            raise PoolClosedError("pool opened twice: make a new KernelPool")
        async with AsyncExitStack() as stack:
            directory = await stack.enter_async_context(PoolDirectory(self.settings.directory))
            factory = self._make_factory(self.settings, directory)
            self._factory = await stack.enter_async_context(factory)
            self._confinement = self._factory.confinement
            # After the tasks, which may still bring a kernel, and before what kernels live on.
            stack.push_async_callback(self._close_kernels)
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            self._resources = stack.pop_all()
        self._tasks.start_soon(FloodGuard(self._leased).watch)
        self._pump()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        tasks, self._tasks = self._tasks, None
        if tasks is None:
            return None
        for ticket in (*self._arrivals, *self._admitted):
            ticket.fail(_closed())
        self._arrivals.clear()
        self._admitted.clear()
        tasks.cancel_scope.cancel()
        if error is None or isinstance(error, anyio.get_cancelled_exc_class()):
            return await self._resources.__aexit__(kind, error, trace)
        # The task group would wrap the caller's own error in a group.
        await self._resources.aclose()
        return None

    def lease(self, *, seed: int, owner: str) -> KernelLease:
        """A lease to enter with `async with`.

        Args:
            seed: seeds the random generators (modulo 2^32).
            owner: named in errors and in the pool's status.
        """
        return KernelLease(self, seed, owner)

    def status(self) -> PoolStatus:
        """A snapshot; also of a pool that is closed."""
        start = self._factory.status() if self._factory else StartStatus(StartMethod.COLD)
        confinement = self._confinement
        return PoolStatus(
            size=self.settings.kernels,
            leased=len(self._holders),
            spare=len(self._spare),
            starting=self._starting,
            retiring=self._retiring,
            waiting=len(self._arrivals),
            started=self._started,
            forks=start.forks,
            lost=dict(self._lost),
            leases=self._leases,
            wait_seconds=self._wait_seconds,
            longest_wait_seconds=self._longest_wait_seconds,
            cells=self._cells,
            cell_seconds=self._cell_seconds,
            owners=tuple(ticket.owner for ticket in self._holders),
            start_method=start.method,
            start_detail=start.detail,
            tier=confinement.tier if confinement else Tier.NONE,
            not_guaranteed=dict(confinement.failures) if confinement else {},
            confinement_notes=confinement.notes if confinement else (),
            import_seconds=dict(start.import_seconds),
        )

    async def wait_ready(self, spares: int | None = None, timeout: float | None = None) -> None:  # noqa: ASYNC109 - its error names the remedy
        """Wait until kernels are started.

        Args:
            spares: how many; as many as the pool keeps when None, and never more than that.
            timeout: in seconds; `PoolSettings.start_timeout_s` when None.

        Raises:
            PoolNotReadyError: they are not there in time.
            KernelStartError: one failed to start.
            PoolClosedError: the pool is not open.
        """
        limit = self.settings.start_timeout_s if timeout is None else timeout
        with anyio.move_on_after(limit):
            while True:
                if self._tasks is None:
                    raise _closed()
                if self._start_error is not None:
                    raise self._start_error
                kept = self._spares_wanted()
                if len(self._spare) >= (kept if spares is None else min(spares, kept)):
                    return
                await self._changed.wait()
        raise PoolNotReadyError(
            f"{len(self._spare)} spare kernels after {limit:g} s: raise the time-out, or"
            " lower PoolSettings.spares"
        )

    # What leases call (sandbox.lease.KernelSource).

    def apply(self, owner: str) -> Ticket:
        """See KernelSource."""
        if self._tasks is None:
            raise _closed()
        ticket = Ticket(owner)
        self._arrivals.append(ticket)
        self._pump()
        return ticket

    def renew(self, ticket: Ticket) -> None:
        """See KernelSource."""
        ticket.reopen()
        if self._tasks is None:
            ticket.fail(_closed())
            return
        self._admitted.append(ticket)
        self._pump()

    def withdraw(self, ticket: Ticket) -> None:
        """See KernelSource."""
        for queue in (self._arrivals, self._admitted, self._holders):
            if ticket in queue:
                queue.remove(ticket)
        if (kernel := ticket.take_back()) is not None and kernel in self._alive:
            # Nobody has used it: it is as good as new.
            self._spare.appendleft(kernel)
        self._pump()

    def discard(self, kernel: Kernel, reason: LossReason | None) -> None:
        """See KernelSource."""
        kernel.kill()
        if reason is not None:
            self._lost[reason] += 1
            _logger.warning("kernel %d lost: %s", kernel.process.pid, reason)
        if self._tasks is not None:
            # From here on the task owns it; without tasks, closing the pool does.
            self._alive.discard(kernel)
            self._retiring += 1
            self._tasks.start_soon(self._retire, kernel)

    def count_lease(self, waited_s: float) -> None:
        """See KernelSource."""
        self._leases += 1
        self._wait_seconds += waited_s
        self._longest_wait_seconds = max(self._longest_wait_seconds, waited_s)

    def count_cell(self, seconds: float) -> None:
        """See KernelSource."""
        self._cells += 1
        self._cell_seconds += seconds

    def _leased(self) -> set[Kernel]:
        """The kernels whose code is somebody else's."""
        return self._alive.difference(self._spare)

    def _spares_wanted(self) -> int:
        if self._start_error is not None:
            return 0
        settings, leased = self.settings, len(self._holders)
        wanted = max(settings.spares, settings.minimum - leased)
        return min(wanted, settings.kernels - leased)

    def _pump(self) -> None:
        """Admit, hand over and start whatever the present state calls for. Never waits."""
        while self._arrivals and len(self._holders) < self.settings.kernels:
            ticket = self._arrivals.popleft()
            self._holders.append(ticket)
            self._admitted.append(ticket)
        while self._admitted and self._spare:
            kernel = self._spare.popleft()
            if kernel.is_alive():
                self._admitted.popleft().fulfil(kernel)
            else:
                self.discard(kernel, LossReason.DIED)
        if self._tasks is not None:
            wanted = len(self._admitted) + self._spares_wanted()
            for _ in range(wanted - len(self._spare) - self._starting):
                self._starting += 1
                self._tasks.start_soon(self._start_one)
        self._changed.set()
        self._changed = anyio.Event()

    async def _close_kernels(self) -> None:
        self._spare.clear()
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as closing:
                while self._alive:
                    self._retiring += 1
                    closing.start_soon(self._retire, self._alive.pop())

    async def _start_one(self) -> None:
        try:
            if self._factory is None:
                raise _closed()
            async with self._start_slots:
                kernel = await self._factory.start()
            self._started += 1
            self._start_error = None
            self._alive.add(kernel)
            self._spare.append(kernel)
            if self._tasks is not None:
                self._tasks.start_soon(self._watch_spare, kernel)
        except KernelStartError as error:
            self._lost[LossReason.START] += 1
            _logger.error("%s", error)
            self._start_error = error
            if self._admitted:
                self._admitted.popleft().fail(error)
        finally:
            self._starting -= 1
        self._pump()

    async def _retire(self, kernel: Kernel) -> None:
        """Clean up behind a kernel; where that fails (no thread, no memory) the pool goes on."""
        try:
            with anyio.CancelScope(shield=True):
                await kernel.aclose()
        except Exception:
            _logger.exception("kernel %d not cleaned up", kernel.process.pid)
        finally:
            self._retiring -= 1

    async def _watch_spare(self, kernel: Kernel) -> None:
        """Replace a spare that ends before anybody has asked for it."""
        try:
            if kernel in self._spare:
                await wait_ended(kernel.process)
        except OSError as error:
            # No descriptor is left: its end will be seen when it is handed over.
            _logger.warning("spare kernel %d not watched: %s", kernel.process.pid, error)
            return
        if kernel in self._spare:
            self._spare.remove(kernel)
            self.discard(kernel, LossReason.DIED)
            self._pump()


def _closed() -> PoolClosedError:
    return PoolClosedError("pool not open: use it within its `async with`")
