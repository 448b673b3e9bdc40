"""What is wrong with a field of a request, in our words: field and value, constraint, remedy.

The one place where pydantic's errors are translated. What it does not know gets pydantic's own
words, brought into the same form.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from client.schema import InvalidField

#: A value that is quoted is cut here: enough to recognise it.
MOST_QUOTED = 60
#: Beyond this many bits an integer is told by its size; turning it into digits takes quadratic
#: time, and Python refuses it over 4,300 digits.
_QUOTED_BITS = 200
_BITS_PER_DIGIT = 3.3219

_INTEGER = ("must be an integer", "give a number without a fraction, and without quotes")
_NUMBER = ("must be a number", "give it without quotes")
_FLAG = ("must be true or false", "give one of them, without quotes")
_OBJECT = ("must be a JSON object", "put the fields in braces")
_LIST = ("must be a JSON list", "put the items in square brackets")

#: Error type of pydantic (its documentation, "Validation Errors") to constraint and remedy.
#: Braces name what pydantic says about the constraint.
_WORDS: Mapping[str, tuple[str, str]] = {
    "missing": ("must be given", "add it to the request"),
    "extra_forbidden": ("must be a field of this request", "correct its name, or leave it out"),
    "greater_than": ("must be above {gt}", "raise it"),
    "greater_than_equal": ("must be at least {ge}", "raise it"),
    "less_than": ("must be under {lt}", "lower it"),
    "less_than_equal": ("must be at most {le}", "lower it"),
    "multiple_of": ("must be a multiple of {multiple_of}", "round it"),
    "finite_number": ("must be a finite number", "give one"),
    "int_type": _INTEGER,
    "int_parsing": _INTEGER,
    "int_from_float": _INTEGER,
    "int_parsing_size": ("must be an integer of a usual size", "give a smaller one"),
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "bool_type": _FLAG,
    "bool_parsing": _FLAG,
    "string_type": ("must be text", "put it in quotes"),
    "string_unicode": ("must be valid Unicode text", "remove lone surrogates"),
    "string_too_short": ("must have at least {min_length} characters", "lengthen it"),
    "string_too_long": ("must have at most {max_length} characters", "shorten it"),
    "string_pattern_mismatch": ("must match {pattern}", "correct it"),
    "enum": ("must be {expected}", "give one of these"),
    "literal_error": ("must be {expected}", "give one of these"),
    "none_required": ("must be null", "leave it out"),
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "too_short": ("must have at least {min_length} entries", "add some"),
    "too_long": ("must have at most {max_length} entries", "leave some out"),
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "dataclass_type": _OBJECT,
    "union_tag_not_found": ("must have the field {discriminator}", "add it"),
    "union_tag_invalid": (
        "must have {discriminator} one of {expected_tags}",
        "give one of these",
    ),
    "json_invalid": ("must be JSON ({error})", "correct it there"),
}

#: Errors whose own text is a whole sentence: they come from the validators of `client.schema`.
_OWN = frozenset({"value_error", "assertion_error"})
#: The value says nothing that its name does not: it is missing, or should not be there.
_UNQUOTED = frozenset({"missing", "extra_forbidden", "json_invalid"})


def worded(error: Mapping[str, Any]) -> InvalidField:
    """Return the field and the sentence for one entry of pydantic's `errors()`."""
    kind, text = str(error["type"]), str(error["msg"])
    # of malformed JSON the location is a character, not a field
    field = field_path(error["loc"][:1] if kind == "json_invalid" else error["loc"])
    if kind in _OWN:
        return InvalidField(field=field, message=re.sub(r"^(Value|Assertion) error, ", "", text))
    constraint, remedy = _words(kind, text, error.get("ctx") or {})
    subject = _at(error["loc"]) if kind == "json_invalid" else field
    if kind not in _UNQUOTED:
        subject = f"{subject} {quoted(error.get('input'))}"
    return InvalidField(field=field, message=f"{subject}: {constraint}; {remedy}")


#: Members of unions, as pydantic names them in a location.
_MEMBERS = frozenset({"str", "constrained-str"})


def field_path(location: Sequence[str | int]) -> str:
    """Return where a field is in its part of the request, with dots; the part itself if nowhere.

    What pydantic calls the members of a union (`str`, `list[…]`) is left out.
    """
    named = [str(each) for each in location[1:]]
    return ".".join(n for n in named if "[" not in n and n not in _MEMBERS) or str(location[0])


def quoted(value: object) -> str:
    """Return a value as JSON, short; of what is long or has parts, only what it is."""
    if isinstance(value, Mapping):
        return "{…}" if value else "{}"
    if isinstance(value, list | tuple | set):
        return "[…]" if value else "[]"
    if isinstance(value, bytes):
        return f"of {len(value)} bytes"
    if isinstance(value, int) and value.bit_length() > _QUOTED_BITS:
        return f"of about {value.bit_length() / _BITS_PER_DIGIT:.0f} digits"
    if isinstance(value, str) and len(value) > MOST_QUOTED:
        return f"of {len(value)} characters"
    return json.dumps(value, ensure_ascii=False, default=str)[:MOST_QUOTED]


def _words(kind: str, text: str, context: Mapping[str, Any]) -> tuple[str, str]:
    if kind in _WORDS:
        constraint, remedy = _WORDS[kind]
        try:
            return constraint.format_map({k: _plain(v) for k, v in context.items()}), remedy
        except (KeyError, ValueError, IndexError):
            pass  # a version of pydantic that says other things about it
    said = re.sub(r"^(Input|Value|String) should ", "", text)
    return f"must {said}" if said != text else f"must be valid ({text})", "correct it"


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _at(location: Sequence[str | int]) -> str:
    return f"{location[0]}, character {location[1]}" if len(location) > 1 else str(location[0])
