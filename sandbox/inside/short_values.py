"""Values in a few words, in bounded time, whatever they are.

Only what is known to print quickly is printed: numbers, texts, the usual containers, and what
numpy, sympy and mpmath make. A class of the cell's own could do anything in its `__repr__`.
"""

import sys
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from types import ModuleType
from typing import Any

_CHARS = 160
_TEXT_CHARS = 60
_ITEMS = 6
_DEPTH = 3
#: Printing takes quadratic time in the digits.
_INTEGER_BITS = 1_000
_ARRAY_ITEMS = 32
_EXPRESSION_NODES = 60

_ENDS: tuple[tuple[type[Any], str, str], ...] = (
    (list, "[", "]"),
    (tuple, "(", ")"),
    (set, "{", "}"),
    (frozenset, "frozenset({", "})"),
    (deque, "deque([", "])"),
)


def short_value(value: Any) -> str | None:  # noqa: ANN401
    """Return a value in one line of at most 160 characters; None where it tells nothing."""
    text = _told(value, _DEPTH)
    if text is None:
        return None
    text = " ".join(text.split())
    return text if len(text) <= _CHARS else f"{text[: _CHARS - 1]}…"


def _told(value: Any, depth: int) -> str | None:  # noqa: ANN401
    # By its type, as `__class__` can say anything, and by the base's own methods: those of a
    # cell's class could do anything too.
    kind = type(value)
    if kind in _PLAIN:
        return _PLAIN[kind](value)
    if issubclass(kind, dict):
        return _of_dict(value, depth)
    for known, begin, end in _ENDS:
        if issubclass(kind, known):
            return _of_items(known, value, begin, end, depth)
    return _of_library(value)


def _of_items(known: type[Any], value: Any, begin: str, end: str, depth: int) -> str | None:  # noqa: ANN401
    items = list(islice(known.__iter__(value), _ITEMS))
    shown = _inner(items, depth - 1)
    if shown is None:
        return None
    inner = ", ".join(shown + _rest(known.__len__(value)))
    if known is tuple and len(items) == 1:
        inner += ","  # without it, it would be no tuple
    if not items and known is set:
        return "set()"  # the braces alone would be a dict
    return begin + inner + end


def _of_dict(value: dict[Any, Any], depth: int) -> str | None:
    pairs = list(islice(dict.items(value), _ITEMS))
    shown = _inner([each for pair in pairs for each in pair], depth - 1)
    if shown is None:
        return None
    entries = [f"{key}: {item}" for key, item in zip(shown[::2], shown[1::2], strict=True)]
    return "{" + ", ".join(entries + _rest(dict.__len__(value))) + "}"


def _inner(items: list[Any], depth: int) -> list[str] | None:
    """Tell what is in a container; None where nothing of it can be told."""
    told = [_inside(item, depth) for item in items]
    if items and not any(told):
        return None
    return [text or f"<{type(item).__name__}>" for text, item in zip(told, items, strict=True)]


def _inside(item: Any, depth: int) -> str | None:  # noqa: ANN401
    return "…" if depth <= 0 and type(item) not in _PLAIN else _told(item, depth)


def _rest(length: int) -> list[str]:
    return [f"… {length} in all"] if length > _ITEMS else []


def _of_integer(value: Any) -> str:  # noqa: ANN401 - by its type, as all of `_PLAIN`
    bits = value.bit_length()
    return repr(value) if bits <= _INTEGER_BITS else f"<integer of {bits} bits>"


def _of_fraction(value: Any) -> str:  # noqa: ANN401
    return f"{_of_integer(value.numerator)}/{_of_integer(value.denominator)}"


def _of_text(value: Any) -> str:  # noqa: ANN401
    whole = len(value) <= _TEXT_CHARS
    return repr(value) if whole else f"{value[:_TEXT_CHARS]!r}… {len(value)} characters"


def _of_range(value: Any) -> str:  # noqa: ANN401
    return f"range({', '.join(map(_of_integer, (value.start, value.stop, value.step)))})"


_PLAIN: dict[type, Callable[[Any], str]] = {
    int: _of_integer,
    Fraction: _of_fraction,
    str: _of_text,
    bytes: _of_text,
    range: _of_range,
    **dict.fromkeys((bool, float, complex, Decimal, type(None)), repr),
}


def _of_library(value: Any) -> str | None:  # noqa: ANN401
    """Tell what numpy, sympy and mpmath make; a module that is not loaded has made nothing."""
    kind = type(value)
    numpy, sympy, mpmath = map(sys.modules.get, ("numpy", "sympy", "mpmath"))
    if numpy and issubclass(kind, numpy.ndarray):
        small = value.size <= _ARRAY_ITEMS and not value.dtype.hasobject
        return str(value) if small else f"<array of shape {value.shape}, {value.dtype}>"
    if numpy and issubclass(kind, numpy.generic):
        return None if value.dtype.hasobject else str(value)
    if sympy and issubclass(kind, sympy.MatrixBase):
        small = value.rows * value.cols <= _ARRAY_ITEMS and _is_small(sympy, value.flat())
        return str(value) if small else f"<matrix of shape {value.shape}>"
    if sympy and issubclass(kind, sympy.Basic):
        return str(value) if _is_small(sympy, [value]) else f"<long {kind.__name__}>"
    if mpmath and issubclass(kind, mpmath.mpf | mpmath.mpc):
        return str(value) if _is_ordinary(value) else f"<{kind.__name__}>"
    return None


def _is_small(sympy: ModuleType, expressions: list[Any]) -> bool:
    """Return whether expressions have few parts, of kinds that print quickly."""
    known = (
        sympy.Add, sympy.Mul, sympy.Pow, sympy.Number, sympy.NumberSymbol, sympy.Symbol,
        sympy.Function, sympy.I.__class__, sympy.core.relational.Relational, sympy.FiniteSet,
        sympy.Tuple, sympy.Interval, sympy.logic.boolalg.BooleanAtom,
    )  # fmt: skip
    left = list(expressions)
    for _ in range(_EXPRESSION_NODES):
        if not left:
            return True
        node = left.pop()
        if not issubclass(type(node), known) or len(node.args) > _EXPRESSION_NODES:
            return False
        whole = (getattr(node, "p", 0), getattr(node, "q", 0))
        if issubclass(type(node), sympy.Rational) and max(map(_bits, whole)) > _INTEGER_BITS:
            return False
        left += node.args
    return not left


def _bits(value: Any) -> int:  # noqa: ANN401
    return int(value).bit_length()


def _is_ordinary(value: Any) -> bool:  # noqa: ANN401
    """Return whether the exponents of an mpmath number print quickly."""
    parts = getattr(value, "_mpc_", None) or (value._mpf_,)
    return all(abs(exponent) + bits <= 10 * _INTEGER_BITS for _, _, exponent, bits in parts)
