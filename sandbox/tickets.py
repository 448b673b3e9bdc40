"""A place in the pool's queue, and later among its leases."""

import anyio

from sandbox.kernel import Kernel


class Ticket:
    """Brings one kernel at a time to one lease: the pool fulfils or fails it, the lease waits."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self._answered: anyio.Event | None = anyio.Event()
        self._kernel: Kernel | None = None
        self._error: Exception | None = None

    @property
    def is_pending(self) -> bool:
        """A kernel, or an error, is to come or to be taken by `wait`."""
        return self._answered is not None

    @property
    def has_kernel(self) -> bool:
        """A kernel was handed over, and not taken yet."""
        return self._kernel is not None

    def reopen(self) -> None:
        """Await another kernel."""
        self._answered = anyio.Event()

    def fulfil(self, kernel: Kernel) -> None:
        """Hand over a kernel."""
        self._kernel = kernel
        self._answer()

    def fail(self, error: Exception) -> None:
        """Have `wait` raise an error."""
        self._error = error
        self._answer()

    async def wait(self) -> Kernel:
        """Take the kernel. Cancelled, it takes nothing and can be called again.

        Raises:
            KernelStartError: none came up.
            PoolClosedError: the pool closed first.
        """
        if self._answered is not None:
            await self._answered.wait()
        self._answered = None
        error, self._error = self._error, None
        if error is not None:
            raise error
        kernel = self.take_back()
        if kernel is None:
            raise ValueError(f"ticket of {self.owner} already taken: reopen it before waiting")
        return kernel

    def take_back(self) -> Kernel | None:
        """The kernel that was handed over and not yet taken."""
        kernel, self._kernel = self._kernel, None
        return kernel

    def _answer(self) -> None:
        if self._answered is not None:
            self._answered.set()
