"""A kernel's process together with all that it has started, however far that has gone."""

import logging

from sandbox.confinement.confinement import Confinement
from sandbox.inside.confinement import ConfinementPlan
from sandbox.process import KernelProcess

_logger = logging.getLogger(__name__)


class ConfinedProcess:
    """Adds to a kernel's process what its plan can tell and reach. See `KernelProcess`."""

    def __init__(
        self, process: KernelProcess, confinement: Confinement, plan: ConfinementPlan
    ) -> None:
        self._process = process
        self._confinement = confinement
        self._plan = plan

    @property
    def pid(self) -> int:
        """See KernelProcess."""
        return self._process.pid

    @property
    def exit_descriptor(self) -> int:
        """See KernelProcess."""
        return self._process.exit_descriptor

    def has_exited(self) -> bool:
        """See KernelProcess."""
        return self._process.has_exited()

    async def exit_cause(self) -> str:
        """See KernelProcess; also what the kernel had used too much of, if it was ended for it."""
        cause = await self._process.exit_cause()
        breach = self._confinement.breach(self._plan)
        return f"ended for taking {breach}" if breach else cause

    def interrupt(self) -> None:
        """See KernelProcess."""
        self._process.interrupt()

    def kill(self) -> None:
        """See KernelProcess; all of its user's processes are ended, daemons too."""
        self._process.kill()
        self._confinement.kill_all(self._plan)

    async def aclose(self) -> None:
        """See KernelProcess."""
        self._process.kill()
        try:
            if breach := await self._confinement.release(self._plan):
                _logger.warning("kernel %d ended for taking %s", self.pid, breach)
        finally:
            await self._process.aclose()
