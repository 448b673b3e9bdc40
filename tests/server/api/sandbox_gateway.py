"""A gateway without an engine: real HTTP and real kernels, few and quick to start."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import httpx

from sandbox.pool import KernelPool
from sandbox.types import PoolStatus
from server.api.app import create_app
from server.parts import Parts, maybe_open_leases
from server.sections.engine import EngineSettings
from server.sections.gateway import GatewaySettings
from server.sections.sandbox import SandboxSettings
from server.settings import Settings
from tests.sandbox.pools import lean_settings
from tests.server.api.gateway import listening

KERNELS = 2
MOST_WAITING = 1
LEASES = "/v1/sandbox/leases"


@dataclass
class SandboxGateway:
    """On a thread of its own; its parts may be looked at from the test's thread."""

    settings: Settings
    url: str = ""
    parts: list[Parts] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        url = httpx.URL(self.url)
        assert url.port is not None
        return url.host, url.port

    @asynccontextmanager
    async def open_parts(self, settings: Settings) -> AsyncIterator[Parts]:
        """Open what the real server opens, with kernels that import little."""
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(
                KernelPool(lean_settings(kernels=KERNELS, spares=KERNELS))
            )
            leases = await maybe_open_leases(settings, pool, stack)
            parts = Parts(settings, None, pool, None, time.monotonic(), leases=leases)
            self.parts.append(parts)
            yield parts

    def pool(self) -> PoolStatus:
        return self.parts[0].pool.status()

    def idle(self) -> bool:
        """Tell whether nothing is held for any caller."""
        pool = self.pool()
        return not pool.leased and not pool.waiting


@contextmanager
def serving_sandbox() -> Iterator[SandboxGateway]:
    """Serve the sandbox alone."""
    settings = Settings(
        gateway=GatewaySettings(max_body_bytes=64 * 1024),
        engine=EngineSettings(kind="none"),
        sandbox=SandboxSettings(http_max_waiting=MOST_WAITING),
    )
    gateway = SandboxGateway(settings)
    with listening(create_app(settings, gateway.open_parts)) as gateway.url:
        yield gateway
