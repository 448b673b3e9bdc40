"""Dialects by name, and the one that fits a model's vocabulary."""

from collections.abc import Callable

from server.dialect.base import Dialect
from server.dialect.errors import UnknownDialect
from server.dialect.qwen import END, START, QwenDialect
from server.vocabulary import Vocabulary

DIALECTS: dict[str, Callable[[Vocabulary], Dialect]] = {"qwen": QwenDialect}


def open_dialect(name: str, vocabulary: Vocabulary) -> Dialect:
    """Return the dialect of that name for this vocabulary; `auto` finds it from the vocabulary.

    Raises:
        UnknownDialect: no such name, or none fits.
        UnknownControlToken: the vocabulary lacks a control token of the dialect.
    """
    if name == "auto":
        name = _fitting(vocabulary)
    try:
        make = DIALECTS[name]
    except KeyError:
        raise UnknownDialect(
            f"solve.dialect {name!r}: must be auto or one of {', '.join(sorted(DIALECTS))}"
        ) from None
    return make(vocabulary)


def _fitting(vocabulary: Vocabulary) -> str:
    if {START, END} <= set(vocabulary.controls):
        return "qwen"
    raise UnknownDialect(
        "the model's vocabulary has no ChatML control tokens, so no dialect fits it; "
        "choose a Qwen model, or set solve.dialect"
    )
