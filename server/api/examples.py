"""Puts a whole example into every request and answer of the API's description, errors too."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import orjson

import client.schema
from client.schema import InvalidField
from server.api.example_bodies import (
    ANSWERS,
    COLUMNS,
    LABELLED,
    MODEL,
    NOT_READY,
    REQUESTS,
    SOLVE,
    SUMMARY,
)
from server.api.problems import MEDIA_TYPE, OPENAI_PATHS, details, openai_error

Json = dict[str, Any]

CHAT, COMPLETIONS, SOLVES = "/v1/chat/completions", "/v1/completions", "/v1/solves"
SANDBOX, RUNS, LABELS, MODELS = "/v1/sandbox/leases", "/v1/runs", "/v1/labels", "/v1/models"
NO_ENGINE = (
    "this server has no engine (engine.kind is none) and serves the sandbox alone: start one "
    "without --no-engine to solve problems"
)
#: Why a request is refused, by status.
USUAL = {
    400: "body: must be JSON (Expecting value); correct it there",
    401: "a key is demanded: send the header Authorization: Bearer KEY",
    403: "key 3f9a2c5b: must have the scope solve for this; make one with `quorum keys add`",
    404: f"model 'gpt-4': must be '{MODEL}' or 'quorum'; this server serves one model",
    408: "the request body: must come within 20 s; send it again",
    409: f"solve '{SOLVE}': has not ended; wait, or cancel it",
    410: "the lease expired: nothing was heard for 30 s (ttl_s); take a new one",
    413: "the request body: must be at most 1048576 bytes; shorten the problem",
    415: "content type missing: must be application/json",
    429: "16 solves wait already: at most 16 may; try again later",
    500: "RuntimeError in the server; its log has the details",
    502: "the engine's stream: must be events with token ids",
    503: NO_ENGINE,
}
#: The same where one path alone has its own reason.
EXACT = {
    (SOLVES, 404): "run 'contest-0': there is none of that id; open one with POST /v1/runs",
    (SOLVES, 409): "run 'contest-0': it is finished (its caller cancelled it); open another run",
}
#: The same where several paths have; the first whose beginning fits.
OWN = (
    (SOLVES, 404, "solve 'solve-0': there is none of that id in the journal"),
    (RUNS, 404, "run 'contest-0': there is none of that id; open one with POST /v1/runs"),
    (LABELS, 404, "label 'label-0': there is none of that name"),
    (SANDBOX, 404, "lease 'lease-0': there is none of that id"),
    (SANDBOX, 409, "the lease runs one cell at a time: wait for the running one"),
    (SANDBOX, 429, "64 leases wait for a kernel already: at most 64 may; try again later"),
    (SANDBOX, 503, "no kernel came free within 30 s (wait_s); ask again, or wait longer"),
    (LABELS, 503, "labels.jsonl: cannot be written (No space left on device); make room"),
)
#: A field that is refused, by the beginning of the path; the first that fits.
FIELDS: tuple[tuple[str, str, str], ...] = (
    (f"{SANDBOX}/{{lease_id}}/execute", "timeout_s", "timeout_s 0: must be above 0; raise it"),
    (SANDBOX, "ttl_s", "ttl_s 0: must be at least 1; raise it"),
    (RUNS, "limit_s", "limit_s must be given; add it to the request"),
    (LABELS, "labels.0.end", "412-460: must lie inside the attempt's 400 tokens"),
    (MODELS, "model", "model 'x…': must have at most 500 characters; shorten it"),
    (f"{SOLVES}/{{solve_id}}/select", "time_limit_s", "time_limit_s 0: must be above 0; raise it"),
    ("", "attempts", "attempts 0: must be at least 1; raise it"),
)  # fmt: skip
#: Statuses after which a caller may simply ask again, and when.
AGAIN_S = {429: 5.0}
_CHUNK = {"created": 1_772_366_400, "model": MODEL}


def _events(*bodies: Json) -> str:
    """Return server-sent events as OpenAI's API ends them."""
    told = [f"data: {orjson.dumps(body).decode()}\n\n" for body in bodies]
    return "".join([*told, "data: [DONE]\n\n"])


def _chat(delta: Json, finish: str | None = None, **more: Json) -> Json:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    head = {"id": f"chatcmpl-{SOLVE}", "object": "chat.completion.chunk", **_CHUNK}
    return {**head, "choices": [choice], **more}


def _completion(text: str, finish: str | None = None) -> Json:
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}
    head = {"id": "cmpl-5b0c7d1f2a3e", "object": "text_completion", **_CHUNK}
    return {**head, "choices": [choice]}


#: Answers that are no JSON object, by path and type.
TEXTS = {
    (CHAT, "text/event-stream"): _events(
        _chat({"role": "assistant", "content": ""}),
        _chat({"reasoning_content": "[attempt 0 ended (answered): answer 401]\n"}),
        _chat({"content": "401"}),
        _chat({}, "stop", quorum=SUMMARY),
    ),
    (COMPLETIONS, "text/event-stream"): _events(_completion(" 7,"), _completion(" 11", "length")),
    (LABELS, "text/csv"): "\r\n".join(
        [",".join(COLUMNS), ",".join(str(LABELLED[name] or "") for name in COLUMNS), ""]
    ),
}


def add_examples(description: Json) -> Json:
    """Put the examples into a description, in place; those that are there stay."""
    schemas = description.get("components", {}).get("schemas", {})
    for path, operation in _operations(description):
        for body in operation.get("requestBody", {}).get("content", {}).values():
            _put(body, _of_model(_model(body), schemas, REQUESTS))
        for status, response in operation["responses"].items():
            for kind, body in response.get("content", {}).items():
                _put(body, _answer(path, int(status), kind, body, schemas))
    return description


def _operations(description: Json) -> Iterator[tuple[str, Json]]:
    for path, methods in description["paths"].items():
        for operation in methods.values():
            yield path, operation


def _put(body: Json, example: Any) -> None:  # noqa: ANN401 - JSON
    if example is not None and "example" not in body:
        body["example"] = example


def _answer(path: str, status: int, kind: str, body: Json, schemas: Json) -> Any:  # noqa: ANN401 - JSON
    if kind == MEDIA_TYPE:
        return refusal(path, status)
    if kind == "application/json":
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            return _completed("Readiness", NOT_READY)
        name = "LabelList" if path == LABELS else _model(body)
        return _of_model(name, schemas, ANSWERS)
    return TEXTS.get((path, kind))


def refusal(path: str, status: int) -> Json:
    """Return a body that refuses a request to `path`."""
    fields = []
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        field, detail = next((f, m) for p, f, m in FIELDS if path.startswith(p))
        fields = [InvalidField(field=field, message=detail)]
    else:
        own = (told for p, s, told in OWN if s == status and path.startswith(p))
        detail = EXACT.get((path, status)) or next(own, USUAL[status])
    told = details(HTTPStatus(status), detail, errors=fields, retry_after_s=AGAIN_S.get(status))
    body = told.model_dump(mode="json", exclude_none=True)
    return body | {"error": openai_error(told)} if path.startswith(OPENAI_PATHS) else body


def _model(body: Json) -> str:
    """Return the name of the model of a body; of one that may be left out too."""
    schema = body.get("schema", {})
    found = [schema, *schema.get("anyOf", ())]
    return next((str(s["$ref"]).rpartition("/")[2] for s in found if "$ref" in s), "")


def _of_model(name: str, schemas: Json, bodies: dict[str, Json]) -> Json | None:
    """Return the example of a model: ours, completed where it is an answer, else the schema's."""
    if name in bodies:
        return bodies[name] if bodies is REQUESTS else _completed(name, bodies[name])
    given = schemas.get(name, {}).get("examples", ())
    return next(iter(given), None)


def _completed(name: str, body: Json) -> Json:
    completed: Json = getattr(client.schema, name).model_validate(body).model_dump(mode="json")
    return completed
