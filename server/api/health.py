"""`/health`: the process lives. `/ready`: it can solve."""

import time
from http import HTTPStatus
from importlib.metadata import version

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from client.schema import Health, PartStatus, Readiness
from server.engine.base import EngineState
from server.parts import Parts

router = APIRouter(tags=["health"])


@router.get("/health")
async def health(request: Request) -> Health:
    """Say that the process lives and its event loop turns."""
    parts: Parts = request.state.parts
    uptime = time.monotonic() - parts.started
    return Health(version=version("quorum-aimo"), uptime_s=round(uptime, 3))


@router.get(
    "/ready",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "Not ready, with reasons."}},
)
async def ready(request: Request) -> JSONResponse:
    """Say whether engine and kernels are ready, and why not."""
    report = readiness(request.state.parts)
    status = HTTPStatus.OK if report.ready else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse(report.model_dump(mode="json"), status_code=status)


def readiness(parts: Parts) -> Readiness:
    """Return the state of the parts that a solve needs."""
    engine = parts.engine.status()
    pool = parts.pool.status()
    up = pool.spare + pool.leased
    engine_part = PartStatus(
        ready=engine.state is EngineState.READY, state=engine.state.value, detail=engine.detail
    )
    sandbox = PartStatus(
        ready=up > 0,
        state="ready" if up else "starting",
        detail=f"{up} of {pool.size} kernels up, {pool.leased} leased, {pool.waiting} waiting",
    )
    return Readiness(
        ready=engine_part.ready and sandbox.ready,
        engine=engine_part,
        sandbox=sandbox,
        model=parts.engine.info.model,
        running=parts.service.running,
        queued=parts.service.queued,
    )
