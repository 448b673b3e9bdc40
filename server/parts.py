"""The parts of a running gateway, opened and closed together."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import anyio.to_thread

from sandbox.pool import KernelPool
from sandbox.settings import PoolSettings
from server.dialect.catalogue import open_dialect
from server.engine.base import Engine
from server.engine.llamacpp import LlamaCppOptions, open_llamacpp
from server.settings import Settings
from server.solve.service import SolveService, open_service
from server.solve.solver import SolverParts
from server.vocabulary import Vocabulary
from server.weights import resolve

MIB = 1024 * 1024
#: What every result says of its kernels. Not yet more: see docs/architecture.md.
SANDBOX = "separate processes of the server's user; memory and file sizes bounded; not confined"


@dataclass(frozen=True, slots=True)
class Parts:
    """What routes use; `started` is of `time.monotonic`."""

    settings: Settings
    engine: Engine
    pool: KernelPool
    service: SolveService
    started: float


@asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    """Open engine, kernels and solve service; they get ready in the background.

    Raises:
        WeightsError, VocabularyError, UnknownDialect: the model cannot be used; nothing is left
            running.
    """
    started = time.monotonic()
    path = await anyio.to_thread.run_sync(resolve, settings.engine.model)
    vocabulary = await anyio.to_thread.run_sync(Vocabulary.load, path)
    dialect = open_dialect(settings.solve.dialect, vocabulary)
    options = LlamaCppOptions(
        model_path=path,
        slots=settings.engine_slots,
        context_tokens=settings.engine.context_tokens,
        threads=settings.engine_threads,
        gpu_layers=settings.engine.gpu_layers,
        start_timeout_s=settings.engine.start_timeout_s,
        stall_timeout_s=settings.engine.stall_timeout_s,
        max_restarts=settings.engine.max_restarts,
    )
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(open_llamacpp(options, vocabulary))
        pool = await stack.enter_async_context(KernelPool(pool_settings(settings)))
        parts = SolverParts(engine, dialect, vocabulary, pool, SANDBOX)
        service = await stack.enter_async_context(open_service(settings, parts))
        yield Parts(settings, engine, pool, service, started)


def pool_settings(settings: Settings) -> PoolSettings:
    """Return the sandbox's own settings."""
    sandbox = settings.sandbox
    return PoolSettings(
        kernels=sandbox.kernels,
        spares=min(sandbox.spares, sandbox.kernels),
        start_timeout_s=sandbox.start_timeout_s,
        cell_timeout_s=sandbox.cell_timeout_s,
        max_output_chars=sandbox.output_chars,
        memory_limit_bytes=sandbox.memory_mib * MIB,
    )
