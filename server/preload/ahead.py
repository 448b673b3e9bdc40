"""The preload that goes on while a server starts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import structlog

from server.groups import collapsed
from server.preload.errors import PreloadError
from server.preload.preload import describe, preload

log = structlog.get_logger(__name__)


@asynccontextmanager
async def preloading(path: Path) -> AsyncIterator[None]:
    """Preload a model in the background for as long as the body lasts; a failure is logged.

    The engine maps or reads the same files at the same time: it finds in memory what has come, and
    waits for the rest no longer than it would without.
    """
    # An error of the body is its own, not a group's: a server that cannot start tells it.
    with collapsed():
        async with anyio.create_task_group() as group:
            group.start_soon(_preload, path)
            try:
                yield
            finally:
                group.cancel_scope.cancel()


async def _preload(path: Path) -> None:
    try:
        state = await preload(path)
    except (PreloadError, OSError) as error:
        log.warning("preload.failed", reason=str(error))
    else:
        log.info("preload.done", outcome=describe(state))
