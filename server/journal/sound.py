"""Values between SQLite and the program: what damage has made of them, and what it cannot take."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar, get_type_hints

Stored = TypeVar("Stored")

#: Seconds since 1970 of which a date can be made: until the year 9999. No number here is larger.
MOST_SECONDS = 253_402_300_799.0


def sound(kind: Callable[..., Stored], row: Sequence[Any]) -> Stored:
    """Return a row as the dataclass `kind`, without what damage has made of another type.

    Nor with a number that is too large. One such value must not hide the other rows.
    """
    values: dict[str, Any] = {}
    for (name, of), value in zip(_types(kind), row, strict=True):
        large = isinstance(value, float) and abs(value) > MOST_SECONDS
        nothing = of() if isinstance(of, type) else None
        values[name] = value if isinstance(value, of) and not large else nothing
    return kind(**values)


@cache
def _types(kind: Callable[..., Any]) -> tuple[tuple[str, Any], ...]:
    """Return the fields of a row with their types."""
    return tuple(get_type_hints(kind).items())


def encodable(value: Any) -> Any:  # noqa: ANN401 - whatever SQLite takes
    """Return a value that SQLite takes: what a command line gives may be no UTF-8.

    It is compared as something that no text is likely to be.
    """
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
