"""What the routes share beside the parts: readers of solves, metrics, selection, completions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from server.api.history import History
from server.api.unwritten import Unwritten
from server.completions.service import CompletionService
from server.errors import NoEngineError
from server.metrics.meter import Meter
from server.parts import Parts
from server.settings import Settings
from server.solve.reselect import Reselector

NO_ENGINE = (
    "this server has no engine (engine.kind is none) and serves the sandbox alone: start one "
    "without --no-engine to solve problems"
)


@dataclass(frozen=True, slots=True)
class Services:
    """Opened with the application; without an engine there are no `completions`."""

    history: History
    unwritten: Unwritten
    meter: Meter
    reselector: Reselector | None
    completions: CompletionService | None

    def selecting(self) -> Reselector:
        """Return what chooses again; raise `NoEngineError` where nothing is solved."""
        if self.reselector is None:
            raise NoEngineError(NO_ENGINE)
        return self.reselector

    def completing(self) -> CompletionService:
        """Return what completes; raise `NoEngineError` where there is no engine."""
        if self.completions is None:
            raise NoEngineError(NO_ENGINE)
        return self.completions


@asynccontextmanager
async def open_services(settings: Settings, parts: Parts) -> AsyncIterator[Services]:
    """Open them for the length of the block."""
    meter = Meter(parts)
    history = History(parts.journal)
    service = parts.service
    unwritten = Unwritten(parts.journal, service.get if service else lambda _: None)
    reselector = completions = None
    if service is not None:
        service.observe(meter.take, history.take, unwritten.take)
        reselector = Reselector(settings, service.parts)
        completions = CompletionService(service.parts, settings.gateway.max_queued)
        parts.endings.append(completions.close)
    async with anyio.create_task_group() as group:
        group.start_soon(unwritten.let_go)
        try:
            yield Services(history, unwritten, meter, reselector, completions)
        finally:
            history.close()
            group.cancel_scope.cancel()
