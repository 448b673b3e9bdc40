"""What the attempts of one solve differ in: how they sample, and how they are asked.

Written as entries separated by semicolons, each of `name=value` pairs; attempt n takes entry n, and
after the last one the first again:

    temperature=0; ; variant=chinese temperature=1.0 top_p=0.9; variant=check min_p=0.05 top_k=40

What an entry does not name is as for every attempt; an empty entry names nothing.
`retry_temperature` is the attempt's temperature after a program that failed, until one runs: a
greedy one most often writes the program that has failed once more.
"""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

#: As in the settings.
MOST_TOP_K = 1_000_000


def _is_count(value: float) -> bool:
    return 0 <= value <= MOST_TOP_K and value == int(value)


#: Each name with the values it takes: a test, and the constraint in words.
NUMBERS: dict[str, tuple[Callable[[float], bool], str]] = {
    "temperature": (lambda value: 0 <= value <= 5, "from 0 to 5"),
    "top_p": (lambda value: 0 < value <= 1, "above 0, at most 1"),
    "min_p": (lambda value: 0 <= value < 1, "at least 0, under 1"),
    "top_k": (_is_count, "without a fraction, from 0 to 1,000,000 (0: all)"),
    "retry_temperature": (lambda value: 0 <= value <= 5, "from 0 to 5"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStyle:
    """One entry; None and the empty name stand for what holds for every attempt."""

    temperature: float | None = None
    top_p: float | None = None
    min_p: float | None = None
    top_k: int | None = None
    retry_temperature: float | None = None
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Mix:
    """The entries, in order; none is an empty one for every attempt."""

    styles: tuple[AttemptStyle, ...] = ()

    def of(self, attempt: int) -> AttemptStyle:
        """Return the entry of an attempt."""
        return self.styles[attempt % len(self.styles)] if self.styles else AttemptStyle()

    def without(self, *names: str) -> "Mix":
        """Return the mix in which no entry names these numbers."""
        cleared: dict[str, Any] = dict.fromkeys(names)
        return Mix(tuple(replace(style, **cleared) for style in self.styles))


def parse_mix(text: str, variants: Collection[str]) -> Mix:
    """Return the mix that a text writes; `variants` are the names of those that there are.

    `auto`, where no preset has taken its place, is none.

    Raises:
        ValueError: it is malformed; the message says where and what is allowed.
    """
    if text.strip() in ("", "none", "auto"):
        return Mix()
    return Mix(tuple(_style(entry, variants) for entry in text.split(";")))


def _style(entry: str, variants: Collection[str]) -> AttemptStyle:
    named: dict[str, str] = {}
    for pair in entry.split():
        name, found, value = pair.partition("=")
        if not found or name in named:
            raise ValueError(f"{pair!r}: must be name=value, each name once an entry")
        named[name] = value
    variant = named.pop("variant", None)
    if variant is not None and variant not in variants:
        raise ValueError(f"variant {variant!r}: must be one of {', '.join(sorted(variants))}")
    numbers: dict[str, Any] = {name: _number(name, value) for name, value in named.items()}
    if "top_k" in numbers:
        numbers["top_k"] = int(numbers["top_k"])
    return AttemptStyle(variant=variant or "", **numbers)


def _number(name: str, written: str) -> float:
    if name not in NUMBERS:
        raise ValueError(f"{name!r}: must be one of variant, {', '.join(NUMBERS)}")
    allowed, constraint = NUMBERS[name]
    try:
        value = float(written)
    except ValueError:
        value = math.nan
    if not allowed(value):
        raise ValueError(f"{name} {written!r}: must be a number {constraint}")
    return value
