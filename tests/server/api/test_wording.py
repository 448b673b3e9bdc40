"""Every error of pydantic comes out as constraint, value, remedy."""

import json
from typing import Any, Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError
from pydantic_core.core_schema import ErrorType

from server.api.wording import MOST_QUOTED, quoted, worded

INTEGER = "must be an integer; give a number without a fraction, and without quotes"


class Item(BaseModel):
    kind: Literal["a", "b"]
    counts: list[int] = Field(default=[], max_length=2, min_length=1)
    name: str = Field(default="abc", min_length=2, pattern="^[a-z]+$")
    even: int = Field(default=2, multiple_of=2)


class Request(BaseModel):
    items: list[Item]


def messages(value: object) -> list[tuple[str, str]]:
    """Return field and message of each error, as a route would send them."""
    with pytest.raises(ValidationError) as caught:
        Request.model_validate(value)
    errors: list[Any] = [*caught.value.errors()]
    found = [worded({**each, "loc": ("body", *each["loc"])}) for each in errors]
    return [(each.field, each.message) for each in found]


@pytest.mark.parametrize(
    ("value", "field", "message"),
    [
        ({"items": [{}]}, "items.0.kind", "items.0.kind: must be given; add it to the request"),
        ({"items": 7}, "items", "items 7: must be a JSON list; put the items in square brackets"),
        ({"items": [7]}, "items.0", "items.0 7: must be a JSON object; put the fields in braces"),
        (
            {"items": [{"kind": "c"}]},
            "items.0.kind",
            "items.0.kind \"c\": must be 'a' or 'b'; give one of these",
        ),
        (
            {"items": [{"kind": "a", "counts": [1, 2, 3]}]},
            "items.0.counts",
            "items.0.counts […]: must have at most 2 entries; leave some out",
        ),
        (
            {"items": [{"kind": "a", "counts": []}]},
            "items.0.counts",
            "items.0.counts []: must have at least 1 entries; add some",
        ),
        (
            {"items": [{"kind": "a", "counts": [1, "x"]}]},
            "items.0.counts.1",
            f'items.0.counts.1 "x": {INTEGER}',
        ),
        (
            {"items": [{"kind": "a", "name": "x"}]},
            "items.0.name",
            'items.0.name "x": must have at least 2 characters; lengthen it',
        ),
        (
            {"items": [{"kind": "a", "name": "XY"}]},
            "items.0.name",
            'items.0.name "XY": must match ^[a-z]+$; correct it',
        ),
        (
            {"items": [{"kind": "a", "even": 3}]},
            "items.0.even",
            "items.0.even 3: must be a multiple of 2; round it",
        ),
    ],
)
def test_nested_fields_are_named_with_their_path(value: object, field: str, message: str) -> None:
    assert messages(value) == [(field, message)]


@pytest.mark.parametrize("kind", [kind for kind in get_args(ErrorType) if "error" not in kind])
@pytest.mark.parametrize("context", [None, {}, {"gt": 0.5, "expected": "x", "error": "y"}])
def test_every_kind_of_error_has_constraint_and_remedy(
    kind: str, context: dict[str, object] | None
) -> None:
    error = {"type": kind, "loc": ("body", "x"), "msg": "Input should be odd", "input": 2}
    message = worded({**error, "ctx": context}).message
    subject, constraint, remedy = message.partition(":")[0], *message.split(": ", 1)[1].split("; ")
    assert subject.startswith(("x", "body"))
    assert constraint.startswith("must ")
    assert remedy
    assert "Input should" not in message
    assert "{" not in message


def test_what_pydantic_may_say_one_day() -> None:
    error = {"type": "new_one", "loc": ("query", "x"), "msg": "Bad luck", "input": 2}
    assert worded(error).message == "x 2: must be valid (Bad luck); correct it"


def test_malformed_json_is_told_with_its_place() -> None:
    error = {"type": "json_invalid", "loc": ("body", 12), "msg": "m", "ctx": {"error": "no value"}}
    found = worded(error)
    assert found.field == "body"
    assert found.message == "body, character 12: must be JSON (no value); correct it there"


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(VALUES)
def test_any_value_is_quoted_on_one_short_line(value: object) -> None:
    text = quoted(value)
    assert len(text) <= 2 * MOST_QUOTED + 2
    assert "\n" not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10**20, str(10**20)),
        ("é" * 61, "of 61 characters"),
        (b"x" * 9, "of 9 bytes"),
        (float("nan"), "NaN"),
        ({"key": "secret"}, "{…}"),
        (object, json.dumps(str(object))),
    ],
)
def test_what_a_value_is_quoted_as(value: object, text: str) -> None:
    assert quoted(value) == text


def test_an_integer_that_python_will_not_write() -> None:
    assert quoted(10**5_000) == "of about 5000 digits"
