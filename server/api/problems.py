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
from starlette.routing import Match

from client.schema import InvalidField, ProblemDetails
from server.api.wording import quoted, worded
from server.engine.errors import (
    EngineError,
    EngineProtocolError,
    EngineRefused,
    EngineUnavailable,
)
from server.errors import NoEngineError
from server.journal.errors import JournalUnreadable, NotWrittenYet
from server.leases import errors as lease_errors
from server.leases.errors import LeaseServiceError
from server.solve.reselect import NothingToSelect
from server.solve.service import AdmissionError, ShuttingDownError
from voting.errors import PolicyNameError, UnknownStrategyError

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
#: Those that a route may have.
METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
#: Invalid fields that one answer names; a request can have thousands.
MOST_FIELDS = 20
MOST_CHARACTERS = 2_000
#: Statuses that answer a body before its fields are looked at.
UNREAD = {
    "400": "The body is not JSON.",
    "408": "The body did not come in time.",
    "413": "The body is too large.",
    "415": "The body is not said to be JSON, or it is compressed.",
}
#: Statuses of requests that are refused for who makes them.
KEYS = {
    "401": "No key, or one that is unknown, revoked or expired.",
    "403": "The key has not the scope.",
    "429": "Too many requests of this key, or too much work waits.",
}
#: Where errors are said in OpenAI's form too, for its clients.
OPENAI_PATHS = ("/v1/chat/", "/v1/completions", "/v1/models")
#: Of them, those that there are.
OPENAI_ROUTES = "/v1/chat/completions, /v1/completions and /v1/models"
#: What else OpenAI's clients ask for, by the first word after `/v1`.
OPENAI_OTHERS = frozenset(
    {"assistants", "audio", "batches", "conversations", "edits", "embeddings", "files"}
    | {"fine_tuning", "images", "moderations", "realtime", "responses", "threads", "uploads"}
    | {"vector_stores", "videos"}
)
#: `code` of errors by which OpenAI's clients tell them apart (its guide "Error codes").
NO_MODEL = "model_not_found"
TOO_LONG = "context_length_exceeded"
#: What FastAPI says of a body that is neither JSON nor a syntax error of it.
_FRAMEWORK_TEXTS = frozenset({"There was an error parsing the body"})


class RefusedField(HTTPException):
    """A field that a route refuses by a rule of its own; `code` is OpenAI's word for that."""

    def __init__(
        self, status: HTTPStatus, field: str, message: str, *, code: str | None = None
    ) -> None:
        super().__init__(status, message)
        self.field = InvalidField(field=field, message=message)
        self.code = code


def details(
    status: HTTPStatus,
    detail: str,
    *,
    errors: Sequence[InvalidField] = (),
    retry_after_s: float | None = None,
) -> ProblemDetails:
    """Return problem details."""
    return ProblemDetails(
        title=status.phrase,
        status=status.value,
        detail=_encodable(detail),
        errors=[_encodable_field(each) for each in errors],
        retry_after_s=retry_after_s,
    )


def problem(
    status: HTTPStatus,
    detail: str,
    *,
    errors: Sequence[InvalidField] = (),
    retry_after_s: float | None = None,
    headers: Mapping[str, str] | None = None,
    path: str = "",
    openai: bool = False,
    code: str | None = None,
) -> JSONResponse:
    """Return a response with problem details; on OpenAI's routes in OpenAI's form too.

    With `openai` it has that form wherever it is; `code` stands in that form alone.
    """
    body = details(status, detail, errors=errors, retry_after_s=retry_after_s)
    content = body.model_dump(mode="json", exclude_none=True)
    if openai or path.startswith(OPENAI_PATHS):
        content["error"] = openai_error(body, code)
    retry = {} if retry_after_s is None else {"Retry-After": str(ceil(retry_after_s))}
    return JSONResponse(
        content,
        status_code=status.value,
        headers={**(headers or {}), **retry},
        media_type=MEDIA_TYPE,
    )


def openai_error(body: ProblemDetails, code: str | None = None) -> dict[str, Any]:
    """Return the same as OpenAI's API says it (the `error` of its error bodies)."""
    kinds = {
        HTTPStatus.UNAUTHORIZED: "authentication_error",
        HTTPStatus.FORBIDDEN: "permission_error",
        HTTPStatus.NOT_FOUND: "not_found_error",
        HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
    }
    server_side = body.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    usual = "server_error" if server_side else "invalid_request_error"
    return {
        "message": body.detail,
        "type": kinds.get(HTTPStatus(body.status), usual),
        "param": body.errors[0].field if body.errors else None,
        "code": code,
    }


def install(app: FastAPI) -> None:
    """Translate every exception that can leave a route."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(UnknownStrategyError, _unknown_strategy)
    app.add_exception_handler(PolicyNameError, _unknown_policy)
    app.add_exception_handler(AdmissionError, _too_much)
    app.add_exception_handler(NoEngineError, _unavailable)
    app.add_exception_handler(JournalUnreadable, _unavailable)
    app.add_exception_handler(NotWrittenYet, _unavailable)
    app.add_exception_handler(NothingToSelect, _conflict)
    app.add_exception_handler(LeaseServiceError, _lease)
    app.add_exception_handler(EngineError, _engine)
    app.add_exception_handler(Exception, _defect)


def relabel(description: dict[str, Any], *, keys: bool = False) -> dict[str, Any]:
    """Make a description of the API say how it refuses, in place.

    Every operation with a body can refuse it unread, and where `keys` are demanded, all but one
    want one; problem details have their own media type.
    """
    if keys:
        schemes = description.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["key"] = {"type": "http", "scheme": "bearer"}
    operations = [one for path in description["paths"].values() for one in path.values()]
    for path, methods in description["paths"].items():
        for operation in methods.values() if keys and path != "/health" else ():
            operation["security"] = [{"key": []}]
            for status, meaning in KEYS.items():
                operation["responses"].setdefault(status, _refusal(meaning))
    for operation in operations:
        if "requestBody" in operation:
            for status, meaning in UNREAD.items():
                operation["responses"].setdefault(status, _refusal(meaning))
    for response in (one for each in operations for one in each["responses"].values()):
        content = response.get("content", {})
        schema = content.get("application/json", {}).get("schema", {})
        if schema.get("$ref", "").endswith(f"/{ProblemDetails.__name__}"):
            content[MEDIA_TYPE] = content.pop("application/json")
    return description


def _refusal(meaning: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"}
    return {"description": meaning, "content": {MEDIA_TYPE: {"schema": schema}}}


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    if isinstance(error.body, bytes):  # not parsed: it is not said to be JSON
        return _not_json(request)
    found = error.errors()
    fields = [worded(item) for item in found[:MOST_FIELDS]]
    detail = "; ".join(dict.fromkeys(item.message for item in fields))
    malformed = any(item["type"] == "json_invalid" for item in found)
    # OpenAI's API has no 422: its clients look for 400.
    worst = malformed or request.url.path.startswith(OPENAI_PATHS)
    status = HTTPStatus.BAD_REQUEST if worst else HTTPStatus.UNPROCESSABLE_ENTITY
    return problem(status, detail, errors=fields, path=request.url.path)


def _not_json(request: Request) -> JSONResponse:
    given = request.headers.get("content-type")
    return problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        f"content type {quoted(given) if given else 'missing'}: must be application/json; send the "
        "header Content-Type: application/json",
        path=request.url.path,
    )


def _encodable_field(field: InvalidField) -> InvalidField:
    return InvalidField(field=_encodable(field.field), message=_encodable(field.message))


async def _http(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    headers = dict(error.headers or {})
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = _allowed(request)
    detail = str(error.detail)
    framework = detail == status.phrase or detail in _FRAMEWORK_TEXTS
    if framework:
        detail = _framework_detail(status, request, headers)
    refused = error if isinstance(error, RefusedField) else None
    return problem(
        status,
        detail,
        errors=[refused.field] if refused else [],
        headers=headers,
        path=request.url.path,
        # A client of OpenAI that has lost its way shows its user nothing but `error`.
        openai=framework and status is HTTPStatus.NOT_FOUND,
        code=refused.code if refused else None,
    )


def _allowed(request: Request) -> str:
    """Return the methods of a path; the framework tells those of its first route alone."""
    scope = dict(request.scope)
    found = []
    for method in METHODS:
        scope["method"] = method
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes):
            found += [method, "HEAD"] if method == "GET" else [method]
    # In a folder of files, from where no route is seen, nothing can be done but read.
    return ", ".join(found or ["GET", "HEAD"])


def _framework_detail(status: HTTPStatus, request: Request, headers: Mapping[str, str]) -> str:
    """Return our text for what the framework refuses in a word."""
    called = f"{request.method} {quoted(request.url.path)}"
    if status is HTTPStatus.NOT_FOUND:
        return f"{called}: must be a route of this server; {_way(request.url.path)}"
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = headers.get("Allow", "")
        return f"{called}: the method must be {allowed}; GET /openapi.json lists the routes"
    if status is HTTPStatus.BAD_REQUEST:
        return "body: must be JSON in UTF-8, not nested too deep; correct it"
    return f"{called}: refused ({status.phrase})"


def _way(path: str) -> str:
    """Return where to go instead; a client of OpenAI has the wrong base URL or the wrong API."""
    plain = path.rstrip("/")
    for route in ("/chat/completions", "/completions", "/models"):
        if plain.endswith(route):
            return f"use /v1{route}: the client's base URL must end with /v1"
    if path.removeprefix("/v1").removeprefix("/").split("/")[0] in OPENAI_OTHERS:
        return f"use /v1/chat/completions: of OpenAI's API there are {OPENAI_ROUTES}"
    return "GET /openapi.json lists them"


async def _unknown_strategy(request: Request, error: Exception) -> JSONResponse:
    return _unprocessable(request, "strategy", error)


async def _unknown_policy(request: Request, error: Exception) -> JSONResponse:
    kind = error.kind if isinstance(error, PolicyNameError) else ""
    return _unprocessable(request, kind, error)


def _unprocessable(request: Request, field: str, error: Exception) -> JSONResponse:
    openai = request.url.path.startswith(OPENAI_PATHS)
    status = HTTPStatus.BAD_REQUEST if openai else HTTPStatus.UNPROCESSABLE_ENTITY
    found = InvalidField(field=field, message=str(error))
    return problem(status, str(error), errors=[found], path=request.url.path)


def admission_problem(error: AdmissionError) -> ProblemDetails:
    """Return problem details, for a chunk of a stream instead of a response."""
    closed = isinstance(error, ShuttingDownError)
    status = HTTPStatus.SERVICE_UNAVAILABLE if closed else HTTPStatus.TOO_MANY_REQUESTS
    return details(status, str(error), retry_after_s=error.retry_after_s)


async def _too_much(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, AdmissionError):
        raise error
    return _told(request, admission_problem(error))


def _told(request: Request, told: ProblemDetails) -> JSONResponse:
    status = HTTPStatus(told.status)
    after_s = told.retry_after_s
    return problem(status, told.detail, retry_after_s=after_s, path=request.url.path)


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    after_s = error.retry_after_s if isinstance(error, NotWrittenYet) else None
    status = HTTPStatus.SERVICE_UNAVAILABLE
    return problem(status, str(error), retry_after_s=after_s, path=request.url.path)


async def _conflict(request: Request, error: Exception) -> JSONResponse:
    return problem(HTTPStatus.CONFLICT, str(error), path=request.url.path)


_LEASE_STATUSES: dict[type[LeaseServiceError], HTTPStatus] = {
    lease_errors.UnknownLeaseError: HTTPStatus.NOT_FOUND,
    lease_errors.ExpiredLeaseError: HTTPStatus.GONE,
    lease_errors.BusyLeaseError: HTTPStatus.CONFLICT,
    lease_errors.RefusedCellError: HTTPStatus.UNPROCESSABLE_ENTITY,
    lease_errors.TooManyLeasesError: HTTPStatus.TOO_MANY_REQUESTS,
    lease_errors.NoKernelError: HTTPStatus.SERVICE_UNAVAILABLE,
    lease_errors.LeasesClosedError: HTTPStatus.SERVICE_UNAVAILABLE,
    lease_errors.CellDefectError: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def lease_problem(error: LeaseServiceError) -> ProblemDetails:
    """Return problem details, for an event instead of a response."""
    return details(_LEASE_STATUSES[type(error)], str(error), retry_after_s=error.retry_after_s)


async def _lease(request: Request, error: Exception) -> JSONResponse:
    del request
    if not isinstance(error, LeaseServiceError):
        raise error
    return problem(_LEASE_STATUSES[type(error)], str(error), retry_after_s=error.retry_after_s)


#: Errors of the engine by who has to act; the first that fits counts.
_ENGINE_STATUSES: tuple[tuple[type[EngineError], HTTPStatus], ...] = (
    (EngineRefused, HTTPStatus.BAD_REQUEST),
    (EngineProtocolError, HTTPStatus.BAD_GATEWAY),
    (EngineError, HTTPStatus.SERVICE_UNAVAILABLE),
)
#: Seconds in which an engine that has died is usually back.
ENGINE_RETRY_S = 5.0


def engine_problem(error: EngineError) -> ProblemDetails:
    """Return problem details, for a chunk of a stream instead of a response."""
    status = next(status for kind, status in _ENGINE_STATUSES if isinstance(error, kind))
    passes = isinstance(error, EngineUnavailable)
    return details(status, str(error), retry_after_s=ENGINE_RETRY_S if passes else None)


async def _engine(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, EngineError):
        raise error
    return _told(request, engine_problem(error))


async def _defect(request: Request, error: Exception) -> JSONResponse:
    log.error("request.failed", path=request.url.path, exc_info=error)
    return _told(request, defect(error))


def defect(error: Exception) -> ProblemDetails:
    """Return problem details of an error of our own making."""
    said = f"{type(error).__name__} in the server; its log has the details"
    return details(HTTPStatus.INTERNAL_SERVER_ERROR, said)


def _encodable(text: str) -> str:
    """Return a text that fits an answer: what requests quote may be long, or no Unicode text."""
    return text[:MOST_CHARACTERS].encode("utf-8", "backslashreplace").decode()
