"""The FastAPI application; every resource is opened in its lifespan."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import Any, TypedDict

from fastapi import FastAPI

from server.access.gate import Access, Gate
from server.access.opening import open_access
from server.api import (
    catalogue,
    chat,
    completions,
    health,
    labels,
    login,
    metrics,
    models,
    problems,
    runs,
    sandbox,
    solves,
    tokens,
)
from server.api.examples import add_examples
from server.api.head import Head
from server.api.limits import BodyLimit
from server.api.origin import SameOrigin
from server.api.services import Services, open_services
from server.api.traffic import Traffic
from server.labels.store import LabelStore
from server.leases.registry import LeaseRegistry
from server.page.routes import open_page
from server.parts import Parts, open_parts
from server.runs.registry import RunRegistry
from server.settings import Settings
from server.solve.service import SolveService

OpenParts = Callable[[Settings], AbstractAsyncContextManager[Parts]]


class State(TypedDict):
    """What the lifespan hands to the routes as `request.state`."""

    parts: Parts
    service: SolveService | None
    leases: LeaseRegistry | None
    services: Services
    runs: RunRegistry | None


class Application(FastAPI):
    """FastAPI, whose description says how errors really look."""

    def openapi(self) -> dict[str, Any]:
        """Return the description of the API."""
        access: Access = self.state.access
        return add_examples(problems.relabel(super().openapi(), keys=access.demanded))


def create_app(settings: Settings, parts_opener: OpenParts = open_parts) -> FastAPI:
    """Return the application; `parts_opener` is another one in tests and rehearsals.

    Raises:
        AccessError: the address is open to others, and there is no key that they could use.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[State]:
        del app
        async with parts_opener(settings) as parts, open_services(settings, parts) as services:
            yield {
                "parts": parts,
                "service": parts.service,
                "leases": parts.leases,
                "services": services,
                "runs": parts.runs or (RunRegistry(parts.service) if parts.service else None),
            }

    app = Application(
        title="Quorum",
        version=version("quorum-aimo"),
        description="Solves olympiad mathematics: parallel tool-using attempts, and a vote.",
        lifespan=lifespan,
        # A redirection would name the host that the request was sent to, in the scheme that it had
        # behind a proxy, and lose its body with many clients.
        redirect_slashes=False,
        # The default pages load scripts from a CDN; Quorum serves nothing from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    problems.install(app)
    access = open_access(settings)
    app.state.access = access
    # The last one added is the first to see a request.
    app.add_middleware(Head)
    app.add_middleware(BodyLimit, most=settings.gateway.max_body_bytes)
    app.add_middleware(SameOrigin, host=settings.gateway.host, access=access)
    app.add_middleware(Gate, access=access)
    app.add_middleware(Traffic)
    app.include_router(health.router)
    app.include_router(login.router)
    app.include_router(metrics.router)
    app.include_router(solves.router)
    app.include_router(chat.router)
    app.include_router(completions.router)
    app.include_router(tokens.router)
    app.include_router(models.router)
    app.include_router(catalogue.router)
    runs.install(app)
    labels.install(app, LabelStore(settings.labels_path))
    if settings.page.enabled:
        open_page(app)
    app.include_router(sandbox.router if settings.sandbox_over_http else sandbox.closed)
    return app
