"""What the sandbox hands back: results of cells and the state of the pool."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sandbox.confinement.tiers import Guarantee, Tier


class CellStatus(StrEnum):
    """How a cell ended."""

    OK = "ok"
    """It ran to its end."""
    ERROR = "error"
    """It raised, or it does not compile."""
    TIMEOUT = "timeout"
    """It was still running when its time was up, and was stopped."""
    INTERRUPTED = "interrupted"
    """The lease's holder interrupted it."""
    DIED = "died"
    """Its kernel's process ended, or stopped answering, while it ran."""


class InterruptStep(StrEnum):
    """The step of the ladder that ended a cell after its time-out, or the holder's interrupt."""

    NONE = "none"
    """It ended by itself."""
    SIGINT = "sigint"
    """The first SIGINT; the kernel's state is kept."""
    POKE = "poke"
    """A message that wakes the kernel's event loop, and a second SIGINT; state is kept."""
    KILL = "kill"
    """SIGKILL of the kernel with all its processes; state is lost."""


class StartMethod(StrEnum):
    """How kernels come to be."""

    AUTO = "auto"
    """Forked where that is possible, else cold."""
    FORK = "fork"
    """Forked from a template process that has imported everything."""
    COLD = "cold"
    """Each a fresh Python process."""


class LossReason(StrEnum):
    """Why a kernel was lost, that is, ended otherwise than with its lease or its pool."""

    TIMEOUT = "timeout"
    """Killed: no interrupt stopped its cell."""
    DIED = "died"
    """Its process ended by itself, or it broke the protocol and was killed."""
    CANCELLED = "cancelled"
    """Killed: the caller was cancelled in the middle of a cell."""
    START = "start"
    """It did not come up."""


@dataclass(frozen=True, slots=True)
class CellResult:
    """One cell's outcome.

    `output` is what the cell printed and displayed, its last expression and its error, in order,
    as plain text of at most `PoolSettings.max_output_chars` characters, and a few more for the
    bracketed notices that say what was cut or stopped. It is what untrusted code wrote: it can
    imitate anything, so decisions rest on the other fields.
    """

    output: str
    status: CellStatus
    interrupt_step: InterruptStep
    #: The kernel is, or was before this cell, replaced: no variable or import of earlier cells.
    state_lost: bool
    #: From the request to the answer, any interrupts included, in seconds.
    seconds: float
    #: Some of the output was cut.
    truncated: bool
    #: Class name of the exception that ended the cell, if one did.
    error_name: str | None


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """A snapshot of a pool; counters run from the pool's opening."""

    #: The most leases at a time.
    size: int
    leased: int
    spare: int
    starting: int
    #: Kernels that are being cleaned up behind.
    retiring: int
    #: Callers that wait for a lease.
    waiting: int
    #: Kernels that came up.
    started: int
    #: Those of them, and of those that did not come up, that the template forked.
    forks: int
    #: Kernels that ended otherwise than with their lease or the pool; most were killed.
    lost: Mapping[LossReason, int]
    #: Leases granted, and how long those who got one waited for it: summed, and the longest.
    leases: int
    wait_seconds: float
    longest_wait_seconds: float
    cells: int
    #: Time spent in cells, summed, in seconds.
    cell_seconds: float
    #: Owners of the current leases, in the order in which they got them.
    owners: tuple[str, ...]
    #: FORK or COLD, and why it is not FORK (empty where it is, or was not wanted).
    start_method: StartMethod
    start_detail: str
    #: What confinement holds, as probed at the pool's opening; and what got through, for each
    #: guarantee that does not hold.
    tier: Tier
    not_guaranteed: Mapping[Guarantee, str]
    #: Why mechanisms of confinement are not used, and what to do about it.
    confinement_notes: tuple[str, ...]
    #: How long the template's imports took, in seconds, in order; empty before it is up.
    import_seconds: Mapping[str, float]
