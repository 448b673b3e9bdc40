"""Every error of the API as problem details (RFC 9457)."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from math import ceil
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from client.schema import InvalidField, ProblemDetails
from server.solve.service import AdmissionError, ShuttingDownError
from voting.errors import UnknownStrategyError

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
#: Invalid fields that one answer names; a request can have thousands.
MOST_FIELDS = 20
MOST_CHARACTERS = 2_000


def problem(
    status: HTTPStatus,
    detail: str,
    *,
    errors: Sequence[InvalidField] = (),
    retry_after_s: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return a response with problem details."""
    body = ProblemDetails(
        title=status.phrase,
        status=status.value,
        detail=_encodable(detail),
        errors=list(errors),
        retry_after_s=retry_after_s,
    )
    retry = {} if retry_after_s is None else {"Retry-After": str(ceil(retry_after_s))}
    return JSONResponse(
        body.model_dump(mode="json", exclude_none=True),
        status_code=status.value,
        headers={**(headers or {}), **retry},
        media_type=MEDIA_TYPE,
    )


def install(app: FastAPI) -> None:
    """Translate every exception that can leave a route."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(UnknownStrategyError, _unknown_strategy)
    app.add_exception_handler(AdmissionError, _too_much)
    app.add_exception_handler(Exception, _defect)


def relabel(description: dict[str, Any]) -> dict[str, Any]:
    """Put the right media type to the problem details in a description of the API, in place."""
    operations = (one for path in description["paths"].values() for one in path.values())
    for response in (one for each in operations for one in each["responses"].values()):
        content = response.get("content", {})
        schema = content.get("application/json", {}).get("schema", {})
        if schema.get("$ref", "").endswith(f"/{ProblemDetails.__name__}"):
            content[MEDIA_TYPE] = content.pop("application/json")
    return description


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    del request
    found: Sequence[Any] = error.errors() if isinstance(error, RequestValidationError) else ()
    fields = [
        InvalidField(
            field=_encodable(".".join(map(str, item["loc"][1:])) or str(item["loc"][0])),
            message=_encodable(str(item["msg"]).removeprefix("Value error, ")),
        )
        for item in found[:MOST_FIELDS]
    ]
    detail = "; ".join(f"{item.field}: {item.message}" for item in fields)
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=fields)


async def _http(request: Request, error: Exception) -> JSONResponse:
    del request
    if not isinstance(error, HTTPException):
        raise error
    return problem(HTTPStatus(error.status_code), str(error.detail), headers=error.headers)


async def _unknown_strategy(request: Request, error: Exception) -> JSONResponse:
    del request
    field = InvalidField(field="strategy", message=str(error))
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), errors=[field])


async def _too_much(request: Request, error: Exception) -> JSONResponse:
    del request
    closed = isinstance(error, ShuttingDownError)
    status = HTTPStatus.SERVICE_UNAVAILABLE if closed else HTTPStatus.TOO_MANY_REQUESTS
    return problem(status, str(error), retry_after_s=getattr(error, "retry_after_s", None))


async def _defect(request: Request, error: Exception) -> JSONResponse:
    log.error("request.failed", path=request.url.path, exc_info=error)
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        f"{type(error).__name__} in the server; its log has the details",
    )


def _encodable(text: str) -> str:
    """Return a text that fits an answer: what requests quote may be long, or no Unicode text."""
    return text[:MOST_CHARACTERS].encode("utf-8", "backslashreplace").decode()
