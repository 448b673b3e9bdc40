"""Which way kernels are started: forked where that is possible, else cold."""

import logging
import os
import sys
from dataclasses import replace
from typing import Self

import anyio

from sandbox.cold import ColdStartFactory
from sandbox.confinement.confinement import Confinement
from sandbox.directory import PoolDirectory
from sandbox.errors import ForkingImpossibleError
from sandbox.forked import ForkedFactory
from sandbox.kernel import Kernel, KernelFactory, StartStatus
from sandbox.settings import PoolSettings
from sandbox.starter import KernelStarter
from sandbox.types import StartMethod

_logger = logging.getLogger(__name__)

#: Forking that was impossible is tried again after this time: what stood in the way (no memory,
#: a full process table) may be gone. Doubled each time.
_RETRY_S = 60.0
_LONGEST_RETRY_S = 3600.0


def make_factory(settings: PoolSettings, directory: PoolDirectory) -> KernelFactory:
    """Return the factory that `PoolSettings.start_method` asks for."""
    match settings.start_method:
        case StartMethod.COLD:
            return ColdStartFactory(settings, directory)
        case StartMethod.FORK:
            return ForkedFactory(settings, directory)
        case StartMethod.AUTO:
            return FallbackFactory(settings, directory)


def forking_obstacle() -> str:
    """Why no kernel can be forked on this system; empty where one can."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return "kernels can be forked on Linux only, by a Python that has os.pidfd_open"
    return ""


class FallbackFactory:
    """Forks kernels; starts them cold while that is impossible. See `sandbox.kernel`."""

    def __init__(self, settings: PoolSettings, directory: PoolDirectory) -> None:
        self._starter = KernelStarter(settings, directory)
        self._forked = ForkedFactory(settings, directory, self._starter)
        self._cold = ColdStartFactory(settings, directory, self._starter)
        self._obstacle = forking_obstacle()
        self._retry_s = _RETRY_S
        #: When to try forking again, on anyio's clock.
        self._retry_at = float("inf") if self._obstacle else 0.0

    async def __aenter__(self) -> Self:
        await self._forked.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._forked.__aexit__(*details)

    @property
    def confinement(self) -> Confinement:
        """See KernelFactory."""
        return self._starter.confinement

    async def start(self) -> Kernel:
        """See KernelFactory."""
        if anyio.current_time() >= self._retry_at:
            try:
                kernel = await self._forked.start()
            except ForkingImpossibleError as error:
                self._fall_back(error)
            else:
                self._obstacle = ""
                return kernel
        return await self._cold.start()

    def status(self) -> StartStatus:
        """See KernelFactory."""
        status = self._forked.status()
        if not self._obstacle:
            return status
        return replace(status, method=StartMethod.COLD, detail=f"not forked: {self._obstacle}")

    def _fall_back(self, error: ForkingImpossibleError) -> None:
        if not self._obstacle:
            _logger.warning("kernels are started cold: %s", error)
        self._obstacle = str(error)
        # Several starts may have waited for the same template.
        if anyio.current_time() >= self._retry_at:
            self._retry_at = anyio.current_time() + self._retry_s
            self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)
