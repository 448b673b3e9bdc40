"""JSON rows of other people's files, with integers as they are written."""

import json
from typing import Any

import orjson

#: From here on orjson makes a float of an integer.
_INEXACT = float(2**63)
#: Digits that 64 bits always hold.
_EXACT_DIGITS = 18


def loads(text: bytes) -> Any:  # noqa: ANN401 - whatever the file has
    """Return a value; integers of a row's own columns that are longer than 64 bits come as text.

    Raises:
        ValueError: it is not JSON.
    """
    found = orjson.loads(text)
    rows = found if isinstance(found, list) else [found]
    cells = (cell for row in rows if isinstance(row, dict) for cell in row.values())
    if any(isinstance(cell, float) and abs(cell) >= _INEXACT for cell in cells):
        return json.loads(text, parse_int=_integer)
    return found


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _EXACT_DIGITS else digits
