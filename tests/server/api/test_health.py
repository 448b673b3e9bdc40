"""Health, readiness and the description of the API."""

from collections.abc import Iterator
from dataclasses import replace

import anyio
import httpx
import pytest

from client.schema import Health, Readiness
from sandbox.pool import KernelPool
from server.api.health import readiness
from server.engine.base import EngineState
from tests.sandbox.pools import lean_settings
from tests.server.api.gateway import Gateway


def ready(http: httpx.Client, status: int) -> Readiness:
    reply = http.get("/ready")
    assert reply.status_code == status, reply.text
    return Readiness.model_validate_json(reply.content)


def test_health_tells_version_and_age(http: httpx.Client) -> None:
    health = Health.model_validate_json(http.get("/health").content)
    assert health.status == "ok"
    assert health.version[0].isdigit()
    assert health.uptime_s > 0


def test_ready_with_engine_and_kernels(http: httpx.Client, gateway: Gateway) -> None:
    gateway.wait_until(lambda: gateway.parts[0].pool.status().spare == 2)
    report = ready(http, 200)
    assert (report.ready, report.model) == (True, "scripted")
    assert (report.running, report.queued) == (0, 0)
    assert report.sandbox.detail.startswith("2 of 2 kernels up")


@pytest.fixture
def engine_down(gateway: Gateway) -> Iterator[None]:
    gateway.engine.up = anyio.Event()
    yield
    gateway.engine.up = None


@pytest.mark.usefixtures("engine_down")
def test_not_ready_while_the_engine_restarts(http: httpx.Client) -> None:
    report = ready(http, 503)
    assert not report.ready
    assert (report.engine.state, report.engine.ready) == (EngineState.RESTARTING.value, False)
    assert report.engine.detail
    assert report.sandbox.ready


def test_not_ready_once_the_engine_is_given_up(http: httpx.Client, gateway: Gateway) -> None:
    gateway.engine.failed = "died 6 times in a row"
    try:
        report = ready(http, 503)
        assert (report.engine.state, report.engine.detail) == ("failed", "died 6 times in a row")
    finally:
        gateway.engine.failed = ""


async def test_kernels_on_their_first_way_are_not_ready(gateway: Gateway) -> None:
    async with KernelPool(lean_settings(kernels=1, spares=1)) as pool:
        parts = replace(gateway.parts[0], pool=pool)
        assert not readiness(parts).sandbox.ready
        await pool.wait_ready()
        assert readiness(parts).sandbox.ready


async def test_kernels_that_are_started_on_demand_are_ready(gateway: Gateway) -> None:
    async with KernelPool(lean_settings(kernels=1, spares=0)) as pool:
        assert readiness(replace(gateway.parts[0], pool=pool)).sandbox.ready


def test_the_description_is_whole(http: httpx.Client) -> None:
    description = http.get("/openapi.json").json()
    assert description["openapi"].startswith("3.1")
    documented = {"/health", "/ready", "/metrics", "/v1/solves", "/v1/solves/{solve_id}/events"}
    assert documented <= {*description["paths"]}
    assert not {"/login", "/logout"} & {*description["paths"]}
    schemas = description["components"]["schemas"]
    for reference in _references(description):
        assert reference.removeprefix("#/components/schemas/") in schemas
    create = description["paths"]["/v1/solves"]["post"]["responses"]
    refusals = {"400", "404", "408", "409", "413", "415", "422", "429", "503"}
    assert {*create} == {"200", "202", *refusals}
    assert {*create["200"]["content"]} == {"application/json", "text/event-stream"}
    for status in refusals:
        assert {*create[status]["content"]} == {"application/problem+json"}
    assert "HTTPValidationError" not in schemas


def _references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for item in part:
            yield from _references(item)


def test_no_page_loads_anything_from_elsewhere(http: httpx.Client) -> None:
    assert http.get("/docs").status_code == http.get("/redoc").status_code == 404
