"""What the routes share beside the parts: the journal's reader, metrics, selection, completions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from server.api.history import History
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
    reselector = completions = None
    if parts.service is not None:
        parts.service.observers += [meter.take, history.take]
        reselector = Reselector(settings, parts.service.parts)
        completions = CompletionService(parts.service.parts, settings.gateway.max_queued)
    try:
        yield Services(history, meter, reselector, completions)
    finally:
        history.close()
