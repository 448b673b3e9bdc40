"""Cells of a row: the column that is meant, however its name is written, and its value as text."""

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache

from server.evaluation.rows import Row

#: Decimals with more digits than this before or after the point are written with a power of ten.
MOST_DIGITS = 40
_MARKS = re.compile(r"[\s_-]+")


@lru_cache(maxsize=256)
def _spelled(name: str) -> str:
    """Return a column's name as it is compared: no case, no marks."""
    return _MARKS.sub("", name.casefold())


@lru_cache(maxsize=64)
def _spellings(columns: tuple[str, ...]) -> Mapping[str, str]:
    """Return the columns by how they are compared; the rows of a file share them."""
    return {_spelled(str(column)): column for column in reversed(columns)}


def cell(row: Row, name: str) -> object:
    """Return what a row has under a name, None where nothing.

    A name may be a path, `reward_model.ground_truth` or `prompt.0.content`, where a column holds
    objects or lists.
    """
    if name in row:
        return row[name]
    known = _spellings(tuple(row)).get(_spelled(name))
    if known is not None or "." not in name:
        return None if known is None else row[known]
    first, _, rest = name.partition(".")
    inner = cell(row, first)
    if isinstance(inner, list | tuple):
        inner = {str(place): each for place, each in enumerate(inner)}
    return cell(inner, rest) if isinstance(inner, Mapping) else None


def first_cell(row: Row, names: Sequence[str]) -> object:
    """Return the first of these columns that a row has a value in."""
    return next((value for name in names if (value := cell(row, name)) is not None), None)


def text_of(value: object) -> str | None:
    """Return a cell as text; None where there is nothing to read in it.

    A whole float is its integer, a list its parts with commas between.
    """
    if isinstance(value, list | tuple):
        parts = [text_of(each) for each in value]
        return ", ".join(part for part in parts if part is not None) or None
    if value is None or isinstance(value, bool | Mapping | bytes):
        return None
    if isinstance(value, float):
        return _decimal(Decimal(repr(value))) if math.isfinite(value) else None
    return _decimal(value) if isinstance(value, Decimal) else str(value)


def _decimal(value: Decimal) -> str | None:
    if not value.is_finite():
        return None
    if not value:
        return "0"
    (sign, digits, _), exponent = value.as_tuple(), value.adjusted()
    if max(abs(exponent), len(digits)) > MOST_DIGITS:
        # Written digit by digit: arithmetic would round, and refuses the largest exponents.
        first, *rest = map(str, digits)
        mantissa = f"{'-' * sign}{first}.{''.join(rest)}".rstrip("0").rstrip(".")
        return f"{mantissa} \\cdot 10^{{{exponent}}}"
    return str(int(value)) if value == value.to_integral_value() else f"{value:f}"
