"""Tables of the HTTP interface, read from `client.schema` and the application's OpenAPI."""

import ast
import inspect
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, get_args

from pydantic import BaseModel

from client import schema
from docs.markdown import code, sentence, table
from docs.meanings import MEANINGS
from server.api.app import create_app
from server.sections.sandbox import SandboxSettings
from server.settings import Settings

#: How JSON schema says bounds, and how they read.
_BOUNDS = (
    ("minimum", "at least {:,}"),
    ("exclusiveMinimum", "above {:,}"),
    ("maximum", "at most {:,}"),
    ("exclusiveMaximum", "under {:,}"),
    ("maxLength", "at most {:,} characters"),
)


def routes() -> str:
    """Return the table of routes, those too that must be asked for."""
    rows = []
    settings = Settings(sandbox=SandboxSettings(http=True))
    for path, methods in create_app(settings).openapi()["paths"].items():
        for method, operation in methods.items():
            statuses = ", ".join(operation["responses"])
            rows.append(
                (code(f"{method.upper()} {path}"), sentence(operation["description"]), statuses)
            )
    return table(("Route", "What it does", "Statuses"), rows)


def model(name: str) -> str:
    """Return the meaning and the fields of a model of the wire."""
    found = _model(name)
    return f"{_doc(found)}\n\n{_fields(found, found.model_fields)}"


def events() -> str:
    """Return a table of fields for each event, but for those that all events have."""
    common = schema.EventBase.model_fields
    parts = []
    for event in event_types():
        own = [name for name in event.model_fields if name not in common and name != "type"]
        name = event.model_fields["type"].default
        parts.append(f"### `{name}`\n\n{_doc(event)}\n\n{_fields(event, own)}")
    return "\n\n".join(parts)


def event_types() -> tuple[type[schema.EventBase], ...]:
    """Return the classes of all events."""
    members: tuple[type[schema.EventBase], ...] = get_args(get_args(schema.Event)[0])
    return members


def values(name: str) -> str:
    """Return the values of an enumeration and what they mean."""
    enumeration = getattr(schema, name)
    meanings = dict(_member_docs(enumeration))
    rows = [(code(each.value), meanings.get(each.name, "")) for each in enumeration]
    return table(("Value", "Meaning"), rows)


def meaning_of(owner: type[BaseModel], name: str) -> str:
    """Return what a field means; raises `KeyError` for one that nobody has described."""
    description = owner.model_fields[name].description
    return description or MEANINGS.get(f"{owner.__name__}.{name}") or MEANINGS[name]


def models() -> Iterator[type[BaseModel]]:
    """Yield every model of the wire."""
    for each in vars(schema).values():
        ours = inspect.isclass(each) and each.__module__.startswith(schema.__name__)
        if ours and issubclass(each, BaseModel):
            yield each


def _model(name: str) -> type[BaseModel]:
    found: type[BaseModel] = getattr(schema, name)
    return found


def _doc(found: type[BaseModel]) -> str:
    return sentence(inspect.getdoc(found) or "")


def _fields(owner: type[BaseModel], names: Iterable[str]) -> str:
    """Return the table of some fields; only of a request do defaults concern the caller."""
    properties = owner.model_json_schema()["properties"]
    if not issubclass(owner, schema.RequestModel):
        rows = [(code(name), _type(properties[name]), meaning_of(owner, name)) for name in names]
        return table(("Field", "Type", "Meaning"), rows)
    asked = [
        (code(name), _type(properties[name]), _default(owner, name), meaning_of(owner, name))
        for name in names
    ]
    return table(("Field", "Type", "Default", "Meaning"), asked)


def _default(owner: type[BaseModel], name: str) -> str:
    field = owner.model_fields[name]
    if field.is_required():
        return "required"
    return "" if field.default is None else code(_json(field.default))


def _json(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _type(property_schema: dict[str, Any]) -> str:
    """Return a type of JSON schema in words, with its bounds."""
    options = [each for each in property_schema.get("anyOf", ()) if each != {"type": "null"}]
    if options:
        return " or ".join(_type(option) for option in options)
    if "$ref" in property_schema:
        return code(property_schema["$ref"].rpartition("/")[2])
    if "const" in property_schema:
        return code(property_schema["const"])
    kind = str(property_schema.get("type", "any"))
    if kind == "array":
        return f"list of {_type(property_schema['items'])}"
    bounds = [text.format(property_schema[key]) for key, text in _BOUNDS if key in property_schema]
    return ", ".join([kind, *bounds])


def _member_docs(enumeration: type) -> Iterator[tuple[str, str]]:
    """Yield name and docstring of each member: the string that follows its assignment."""
    body = ast.parse(inspect.getsource(enumeration)).body[0]
    statements = body.body if isinstance(body, ast.ClassDef) else []
    for member, after in pairwise(statements):
        if isinstance(member, ast.Assign) and isinstance(member.targets[0], ast.Name):
            match after:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield member.targets[0].id, " ".join(text.split())
                case _:
                    pass
