"""`/v1/runs`: problems under one clock. `POST /v1/solves` with `run` solves one of them."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse

from client.schema import (
    MAX_PAGE,
    GivenAnswer,
    InvalidField,
    ProblemDetails,
    Run,
    RunAnswer,
    RunFinish,
    RunList,
    RunRequest,
    SolveRequest,
)
from server.api.problems import RefusedField, problem
from server.errors import NoEngineError
from server.journal.runs import RUNS_LISTED
from server.runs.errors import FinishedRun, UnknownRun
from server.runs.listing import place_of, written
from server.runs.registry import RunRegistry
from server.runs.run import given_answer
from server.solve.service import SolveHandle, SolveService
from voting.errors import PolicyError, PolicyNameError

MALFORMED = {"model": ProblemDetails, "description": "The request is malformed."}
UNKNOWN: dict[int | str, dict[str, Any]] = {
    404: {"model": ProblemDetails, "description": "There is no run of that id."}
}
NO_ENGINE: dict[int | str, dict[str, Any]] = {
    503: {"model": ProblemDetails, "description": "This server solves no problems."}
}
router = APIRouter(prefix="/v1/runs", tags=["runs"], responses={422: MALFORMED, **NO_ENGINE})


async def registry(request: Request) -> RunRegistry:
    """Return the registry that the lifespan opened."""
    found: RunRegistry | None = request.state.runs
    if found is None:
        raise NoEngineError(
            "this server has no engine (engine.kind is none) and serves the sandbox alone: start "
            "one without --no-engine to solve problems"
        )
    return found


Runs = Annotated[RunRegistry, Depends(registry)]


def install(app: FastAPI) -> None:
    """Add the routes, and translate the errors of runs."""
    app.include_router(router)
    app.add_exception_handler(UnknownRun, _unknown)
    app.add_exception_handler(FinishedRun, _finished)
    app.add_exception_handler(PolicyError, _no_such_policy)


async def _unknown(request: Request, error: Exception) -> JSONResponse:
    del request
    return problem(HTTPStatus.NOT_FOUND, str(error))


async def _finished(request: Request, error: Exception) -> JSONResponse:
    del request
    return problem(HTTPStatus.CONFLICT, str(error))


async def _no_such_policy(request: Request, error: Exception) -> JSONResponse:
    del request
    field = InvalidField(field="budget", message=str(error))
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), errors=[field])


async def submit(request: Request, solves: SolveService, body: SolveRequest) -> SolveHandle:
    """Start the solve of a request; one of a run may be joined, or be answered already.

    Raises: as `RunRegistry.submit`.
    """
    if body.run is None:
        return solves.submit(body)
    return await (await registry(request)).submit(body)


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    response_model=Run,
    responses={200: {"model": Run, "description": "A run of that id is there; it is unchanged."}},
)
async def create(body: RunRequest, runs: Runs) -> Response:
    """Open a run: its clock starts, `elapsed_s` seconds in.

    With the id of a run that exists, that one is returned as it is, clock and all: so a caller that
    was restarted may simply ask again.
    """
    try:
        run, new = await runs.create(body)
    except PolicyNameError as error:
        # It names the kinds of policies that solves have, and a budget is of none.
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        raise RefusedField(status, error.kind or "budget", str(error)) from None
    status = HTTPStatus.CREATED if new else HTTPStatus.OK
    headers = {"Location": f"/v1/runs/{run.id}"}
    return JSONResponse(run.wire().model_dump(mode="json"), status_code=status, headers=headers)


@router.get("")
async def listing(
    runs: Runs,
    limit: Annotated[
        int, Query(ge=1, le=MAX_PAGE, description="Most runs of the page.")
    ] = RUNS_LISTED,
    after: Annotated[
        str | None, Query(max_length=200, description="`next` of the page before.")
    ] = None,
) -> RunList:
    """List runs, the newest first, without their problems: those that are open or recorded."""
    before = place_of(after)
    if after is not None and before is None:
        raise RefusedField(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "after",
            f"after {after[:60]!r}: must be the `next` of a page; leave it out for the first",
        )
    page = await runs.listing(limit, before)
    return RunList(runs=page.runs, next=written(page.next) if page.next else None)


@router.get("/{run_id}", responses=UNKNOWN)
async def get(run_id: str, runs: Runs) -> Run:
    """Return a run with its clock and its problems."""
    return (await runs.get(run_id)).wire()


@router.post("/{run_id}/finish", responses=UNKNOWN)
async def finish(run_id: str, runs: Runs, body: Annotated[RunFinish | None, Body()] = None) -> Run:
    """Take no more problems; those that run go on to their end. Answers can still be asked for."""
    return (await runs.finish(run_id, body or RunFinish())).wire()


@router.post(
    "/{run_id}/answers",
    status_code=HTTPStatus.CREATED,
    response_model=GivenAnswer,
    responses={
        **UNKNOWN,
        200: {"model": GivenAnswer, "description": "Told before; the first answer stands."},
    },
)
async def answered(run_id: str, body: RunAnswer, runs: Runs) -> Response:
    """Tell what was answered to a problem, and from what: the caller may have had to do without.

    The journal keeps it with the run. The first answer told of a problem stands, so telling again
    is safe; a finished run takes them too.
    """
    row, new = await runs.answered(run_id, body)
    status = HTTPStatus.CREATED if new else HTTPStatus.OK
    return JSONResponse(given_answer(row).model_dump(mode="json"), status_code=status)


@router.delete("/{run_id}", responses=UNKNOWN)
async def delete(run_id: str, runs: Runs) -> Run:
    """Finish a run and cancel the solves of it that run. Its record stays."""
    finish = RunFinish(reason="its caller cancelled it")
    return (await runs.finish(run_id, finish, cancel=True)).wire()
