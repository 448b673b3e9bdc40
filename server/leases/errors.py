"""Errors of leases over HTTP; each is one status of the API, see `server.api.problems`.

LeaseServiceError
├── UnknownLeaseError     no lease of that id: never given, or given back
├── ExpiredLeaseError     it ended for want of heartbeats
├── BusyLeaseError        a cell of the lease still runs
├── RefusedCellError      a cell that was not run: too long, for example
├── TooManyLeasesError    too many wait for a kernel already
├── NoKernelError         no kernel came in time, or none can be started
├── LeasesClosedError     the server ends and gives no more
└── CellDefectError       a defect of Quorum itself
"""

from server.errors import QuorumServerError

#: What a caller is told to wait for, in seconds: a lease of a few cells takes about as long.
RETRY_AFTER_S = 5.0


class LeaseServiceError(QuorumServerError):
    """Base of what can be wrong with a lease over HTTP."""

    retry_after_s: float | None = None
    """Seconds after which asking again can succeed; None: it cannot."""


class UnknownLeaseError(LeaseServiceError):
    """There is no lease of that id, and none has expired lately."""


class ExpiredLeaseError(LeaseServiceError):
    """The lease ended because nothing was heard from its holder."""


class BusyLeaseError(LeaseServiceError):
    """A lease runs one cell at a time, and one still runs."""


class RefusedCellError(LeaseServiceError):
    """Nothing was run; the kernel is as it was."""


class TooManyLeasesError(LeaseServiceError):
    """As many wait for a kernel as may."""

    retry_after_s = RETRY_AFTER_S


class NoKernelError(LeaseServiceError):
    """There is no kernel for now."""

    retry_after_s = RETRY_AFTER_S


class LeasesClosedError(LeaseServiceError):
    """The server is being shut down."""


class CellDefectError(LeaseServiceError):
    """The server failed at a cell; its log has the details."""
