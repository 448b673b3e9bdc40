"""`/health`: the process lives. `/ready`: it can solve."""

import time
from http import HTTPStatus
from importlib.metadata import version

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from client.schema import Health, PartStatus, Readiness
from sandbox.pool import KernelPool
from sandbox.types import LossReason
from server.engine.base import Engine, EngineState
from server.parts import Parts, confinement_of, journal_status

#: Read once: it costs as much as twenty answers.
VERSION = version("quorum-aimo")

router = APIRouter(tags=["health"])


@router.get("/health")
async def health(request: Request) -> Health:
    """Say that the process lives and its event loop turns."""
    parts: Parts = request.state.parts
    uptime = time.monotonic() - parts.started
    return Health(version=VERSION, uptime_s=round(uptime, 3))


@router.get(
    "/ready",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "Not ready, with reasons."}},
)
async def ready(request: Request) -> JSONResponse:
    """Say whether engine and kernels are ready, and why not; the kernels alone, if alone."""
    report = readiness(request.state.parts)
    status = HTTPStatus.OK if report.ready else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse(report.model_dump(mode="json"), status_code=status)


def readiness(parts: Parts) -> Readiness:
    """Return the state of the parts that a solve needs; without an engine, of the sandbox."""
    engine = _engine(parts.engine)
    sandbox = _sandbox(parts.pool)
    return Readiness(
        ready=sandbox.ready and (engine.ready or parts.engine is None),
        engine=engine,
        sandbox=sandbox,
        journal=journal_status(parts.journal, parts.no_journal),
        engines={name: _engine(other.engine) for name, other in parts.others.items()},
        model=parts.engine.info.model if parts.engine else "",
        running=parts.service.running if parts.service else 0,
        queued=parts.service.queued if parts.service else 0,
    )


def _engine(engine: Engine | None) -> PartStatus:
    if engine is None:
        return PartStatus(ready=False, state="none", detail="only the sandbox is served")
    status = engine.status()
    return PartStatus(
        ready=status.state is EngineState.READY, state=status.state.value, detail=status.detail
    )


def _sandbox(pool: KernelPool) -> PartStatus:
    """Return whether kernels can be had: some are up, or they come up when asked for."""
    status = pool.status()
    up = status.spare + status.leased
    failed = status.lost.get(LossReason.START, 0)
    # Between two problems all kernels may be new ones on their way.
    coming = status.starting > 0 and status.started > 0
    ready = up > 0 or coming or (pool.settings.spares == 0 and not failed)
    detail = f"{up} of {status.size} kernels up, {status.leased} leased, {status.waiting} waiting"
    detail += f"; confinement: {confinement_of(pool)}"
    if status.start_detail:
        detail += f"; {status.start_detail}"
    if failed:
        detail += f", {failed} failed to start (the log says why)"
    return PartStatus(ready=ready, state="ready" if ready else "starting", detail=detail)
