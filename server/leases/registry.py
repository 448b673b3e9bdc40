"""All leases over HTTP: how many there may be, finding them, ending them."""

import secrets
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import anyio
import structlog
from anyio.abc import TaskGroup

from client.schema import LeaseRequest
from sandbox.pool import KernelPool
from server.leases.errors import (
    ExpiredLeaseError,
    LeasesClosedError,
    LeaseServiceError,
    TooManyLeasesError,
    UnknownLeaseError,
)
from server.leases.lease import HttpLease

log = structlog.get_logger(__name__)

#: Expired leases that are remembered, so that their holders are told what happened.
MOST_REMEMBERED = 4_096
#: Bytes of chance in an id: it is the right to use the lease.
ID_BYTES = 16


class LeaseRegistry:
    """Gives leases of a pool's kernels in order of arrival; each is a task of one group.

    At most as many hold a kernel as the pool has, and `max_waiting` more wait.
    """

    def __init__(self, pool: KernelPool, max_waiting: int, group: TaskGroup) -> None:
        self._pool = pool
        self._max_waiting = max_waiting
        self._group = group
        self._leases: dict[str, HttpLease] = {}
        self._expired: deque[str] = deque(maxlen=MOST_REMEMBERED)
        self._closed = False

    @property
    def kernels(self) -> int:
        """Most kernels at once, those of solves included."""
        return self._pool.settings.kernels

    @property
    def waiting(self) -> int:
        """Leases that have no kernel yet."""
        return sum(not lease.is_held for lease in self._leases.values())

    def held(self) -> Iterator[HttpLease]:
        """Yield the leases that have a kernel, in order of arrival."""
        return (lease for lease in self._leases.values() if lease.is_held)

    def apply(self, request: LeaseRequest) -> HttpLease:
        """Queue for a kernel: the lease waits as `HttpLease.settled` says.

        Raises:
            TooManyLeasesError: the queue is full.
            LeasesClosedError: `close` was called.
        """
        if self._closed:
            raise _closing()
        if len(self._leases) >= self.kernels + self._max_waiting:
            raise TooManyLeasesError(
                f"{self.waiting} leases wait for a kernel already: at most {self._max_waiting} "
                "may; try again later, or raise sandbox.http_max_waiting"
            )
        lease = HttpLease(f"lease-{secrets.token_hex(ID_BYTES)}", request)
        self._leases[lease.lease_id] = lease
        self._group.start_soon(self._hold, lease)
        return lease

    def get(self, lease_id: str) -> HttpLease:
        """Return a lease that has a kernel.

        Raises:
            ExpiredLeaseError: it has expired.
            UnknownLeaseError: there is none of that id.
        """
        lease = self._leases.get(lease_id)
        if lease is not None and lease.is_held:
            return lease
        if lease_id in self._expired:
            raise ExpiredLeaseError(
                "the lease expired: nothing was heard from its holder in time; take a new one, and "
                "send heartbeats"
            )
        raise _unknown(lease_id)

    def release(self, lease_id: str) -> None:
        """End a lease; raises as `get` does."""
        self.get(lease_id).end(
            UnknownLeaseError("the lease was given back while its cell ran; take a new one")
        )

    def close(self) -> None:
        """End all leases, those that wait too, and give no more."""
        self._closed = True
        for lease in self._leases.values():
            lease.end(_closing())

    async def _hold(self, lease: HttpLease) -> None:
        try:
            await lease.hold(self._pool)
        except Exception:
            # A defect ends this lease, not the server.
            log.exception("lease.failed")
        finally:
            del self._leases[lease.lease_id]
            if isinstance(lease.ending, ExpiredLeaseError):
                self._expired.append(lease.lease_id)


def _unknown(lease_id: str) -> UnknownLeaseError:
    return UnknownLeaseError(f"lease {lease_id[:80]!r}: there is none of that id; take a new one")


def _closing() -> LeaseServiceError:
    return LeasesClosedError("the server is being shut down: ask again once it is back")


@asynccontextmanager
async def open_leases(pool: KernelPool, max_waiting: int) -> AsyncIterator[LeaseRegistry]:
    """Give leases for the length of the block; at its end those that there are end."""
    async with anyio.create_task_group() as group:
        registry = LeaseRegistry(pool, max_waiting, group)
        try:
            yield registry
        finally:
            registry.close()
            group.cancel_scope.cancel()
