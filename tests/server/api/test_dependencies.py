"""What routes are given is made on the event loop: in a thread it would cost more than the rest."""

import inspect
from collections.abc import Iterable, Iterator

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from server.api.app import create_app
from server.sections.sandbox import SandboxSettings
from server.settings import Settings


def flat(routes: Iterable[object]) -> Iterator[APIRoute]:
    """Yield the routes of an application, those of included routers too."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif (router := getattr(route, "original_router", None)) is not None:
            yield from flat(router.routes)


def routes() -> list[APIRoute]:
    app = create_app(Settings(sandbox=SandboxSettings(http=True)))
    return list(flat(app.routes))


def under(dependant: Dependant) -> Iterator[Dependant]:
    """Yield what a route needs, and what that needs."""
    for each in dependant.dependencies:
        yield each
        yield from under(each)


def test_all_routes_are_looked_at() -> None:
    assert len(routes()) > 30


@pytest.mark.parametrize("route", routes(), ids=lambda route: f"{route.name} {route.path}")
def test_nothing_that_a_route_needs_waits_for_a_thread(route: APIRoute) -> None:
    assert inspect.iscoroutinefunction(route.endpoint)
    assert all(inspect.iscoroutinefunction(each.call) for each in under(route.dependant))
