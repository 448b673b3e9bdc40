"""Every request and answer of the description has a whole example, and each is a true one."""

from collections.abc import Iterator
from typing import Any

import pytest

import client.schema
from server.api.app import create_app
from server.sections.sandbox import SandboxSettings
from server.settings import Settings

Json = dict[str, Any]
PROBLEM = "application/problem+json"


def bodies() -> Iterator[tuple[str, str, str, Json]]:
    """Yield path, status or "request", type, and body of the description."""
    app = create_app(Settings(sandbox=SandboxSettings(http=True)))
    described = app.openapi()
    for path, methods in described["paths"].items():
        for operation in methods.values():
            for kind, body in operation.get("requestBody", {}).get("content", {}).items():
                yield path, "request", kind, body
            for status, response in operation["responses"].items():
                for kind, body in response.get("content", {}).items():
                    yield path, status, kind, body


BODIES = list(bodies())


def models_of(body: Json) -> list[Any]:
    """Return the models that a body may have."""
    schema = body["schema"]
    references = [s["$ref"] for s in (schema, *schema.get("anyOf", ())) if "$ref" in s]
    return [getattr(client.schema, name.rpartition("/")[2]) for name in references]


def test_everything_is_described_with_an_example() -> None:
    assert len(BODIES) > 100
    lacking = [(path, status, kind) for path, status, kind, body in BODIES if "example" not in body]
    assert lacking == []


@pytest.mark.parametrize("number", range(len(BODIES)))
def test_example_is_one(number: int) -> None:
    path, status, kind, body = BODIES[number]
    example = body["example"]
    if kind not in ("application/json", PROBLEM):
        assert isinstance(example, str)
        assert example.endswith("\n")
        return
    for model in models_of(body):
        read = model.model_validate(example)
        if status != "request" and kind != PROBLEM:
            # Whole: nothing that the server would send is missing.
            assert read.model_dump(mode="json") == example, (path, status)
    if kind == PROBLEM:
        assert str(example["status"]) == status
        assert example["detail"]
        assert ("error" in example) == path.startswith(
            ("/v1/chat", "/v1/completions", "/v1/models")
        )
