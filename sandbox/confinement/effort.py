"""How long one look may take: kernels make as much to look at as they can.

Standard library only, like `sandbox.confinement.processes`.
"""

import time


class NotSeenError(Exception):
    """A look has not shown all that a kernel uses; says why, as what the kernel takes."""


class Effort:
    """The processor time of one look; waiting for a core, on a busy machine, does not count."""

    def __init__(self, seconds: float) -> None:
        self._end = time.process_time() + seconds

    def check(self) -> None:
        """Raise NotSeenError when the time is up."""
        if time.process_time() > self._end:
            raise NotSeenError("too long to look at: maps, pages and open files")
