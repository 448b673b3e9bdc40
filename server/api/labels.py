"""`/v1/labels`: what people say of attempts, for training."""

from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse

from client.schema import LabelBatch, LabelBody, LabelList, LabelTag, ProblemDetails
from server.access.gate import Identity
from server.api.problems import RefusedField, problem
from server.journal.reader import JournalReader
from server.labels.store import LabelStore, LabelsUnwritable, UnknownLabel, as_csv
from server.page.store import token_count
from server.parts import Parts

router = APIRouter(
    prefix="/v1/labels",
    tags=["labels"],
    responses={
        422: {"model": ProblemDetails, "description": "The request is malformed."},
        503: {"model": ProblemDetails, "description": "The labels' file cannot be used."},
    },
)
UNKNOWN: dict[int | str, dict[str, Any]] = {
    404: {"model": ProblemDetails, "description": "There is no label of that name."}
}
CSV = "text/csv"
COMPARED = frozenset({LabelTag.BETTER, LabelTag.NEUTRAL, LabelTag.WORSE})


def install(app: FastAPI, store: LabelStore) -> None:
    """Add the routes, and translate the errors of labels."""
    app.state.labels = store
    app.include_router(router)
    app.add_exception_handler(UnknownLabel, _unknown)
    app.add_exception_handler(LabelsUnwritable, _unwritable)


async def _unknown(request: Request, error: Exception) -> JSONResponse:
    del request
    return problem(HTTPStatus.NOT_FOUND, str(error))


async def _unwritable(request: Request, error: Exception) -> JSONResponse:
    del request
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))


async def store_of(request: Request) -> LabelStore:
    """Return the store of this application."""
    store: LabelStore = request.app.state.labels
    return store


Store = Annotated[LabelStore, Depends(store_of)]
Text = Annotated[str | None, Query(max_length=256)]
Number = Annotated[int | None, Query(ge=0, lt=2**31)]


@router.post("", status_code=HTTPStatus.CREATED)
async def create(body: LabelBatch, request: Request, store: Store) -> LabelList:
    """Store labels, all of them or none; those of a recorded attempt must lie inside it."""
    parts: Parts = request.state.parts
    identity: Identity = request.state.identity
    if not parts.no_record:
        await anyio.to_thread.run_sync(_check, parts, body.labels)
    made = await anyio.to_thread.run_sync(store.add, body.labels, identity.name)
    return LabelList(labels=made)


@router.get("", responses={200: {"content": {CSV: {"schema": {"type": "string"}}}}})
async def listing(
    store: Store,
    solve_id: Text = None,
    attempt: Number = None,
    annotator: Text = None,
    form: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
) -> Response:
    """List labels in the order in which they came; with `format=csv` as reflections.csv."""
    find = partial(store.find, solve_id, attempt, annotator)
    found = await anyio.to_thread.run_sync(find)
    if form == "csv":
        name = 'attachment; filename="reflections.csv"'
        headers = {"Content-Disposition": name, "X-Content-Type-Options": "nosniff"}
        return Response(as_csv(found), media_type=CSV, headers=headers)
    return JSONResponse(LabelList(labels=found).model_dump(mode="json"))


@router.delete("/{label_id}", status_code=HTTPStatus.NO_CONTENT, responses=UNKNOWN)
async def delete(label_id: str, store: Store) -> None:
    """Take a label back."""
    await anyio.to_thread.run_sync(store.remove, label_id)


def _check(parts: Parts, bodies: list[LabelBody]) -> None:
    """Refuse spans that do not lie inside their attempt, as far as it is recorded."""
    with JournalReader(parts.settings.journal_path) as reader:
        for index, body in enumerate(bodies):
            count = token_count(reader, body.solve_id, body.attempt)
            last = body.begin if body.tag in COMPARED else body.end
            if count and last > count:
                raise RefusedField(
                    HTTPStatus.UNPROCESSABLE_ENTITY,
                    f"labels.{index}.end",
                    f"{body.begin}-{body.end}: must lie inside the attempt's {count} tokens",
                )
