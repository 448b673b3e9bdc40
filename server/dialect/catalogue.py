"""Dialects by name, and the one that fits a model's vocabulary."""

from collections.abc import Callable

from server.dialect import deepseek, gemma, harmony_tokens, qwen
from server.dialect.base import Dialect, DialectOptions
from server.dialect.errors import UnknownDialect
from server.dialect.harmony import HarmonyDialect
from server.dialect.plain import PlainDialect
from server.vocabulary import Vocabulary

DIALECTS: dict[str, Callable[[Vocabulary, DialectOptions], Dialect]] = {
    "harmony": HarmonyDialect,
    "qwen": qwen.QwenDialect,
    "deepseek": deepseek.DeepSeekDialect,
    "gemma": gemma.open_gemma,
    "plain": PlainDialect,
}

#: Control tokens by which a family is known, the most telling first: DeepSeek's distillations have
#: what is left of their base model's too.
_SIGNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("harmony", harmony_tokens.CONTROLS),
    ("deepseek", (deepseek.USER, deepseek.ASSISTANT)),
    ("gemma", (gemma.TURN_4, gemma.END_4)),
    ("gemma", (gemma.TURN_3, gemma.END_3)),
    ("qwen", (qwen.START, qwen.END)),
)


def open_dialect(
    name: str, vocabulary: Vocabulary, options: DialectOptions | None = None
) -> Dialect:
    """Return the dialect of that name for this vocabulary; `auto` finds it from the vocabulary.

    Raises:
        UnknownDialect: no such name, or none fits.
        UnknownControlToken: the vocabulary lacks a control token of the dialect.
        UnusableTemplate: `plain`, and the model's chat template cannot be used.
    """
    if name == "auto":
        name = fitting(vocabulary)
    try:
        make = DIALECTS[name]
    except KeyError:
        raise UnknownDialect(
            f"solve.dialect {name!r}: must be auto or one of {', '.join(sorted(DIALECTS))}"
        ) from None
    return make(vocabulary, options or DialectOptions())


def fitting(vocabulary: Vocabulary) -> str:
    """Return the name of the dialect that a vocabulary's control tokens and template show.

    Where the model has a template, it must write the family's tokens: some vocabularies have more
    than their model uses. A model with another template is `plain`.

    Raises:
        UnknownDialect: it has neither a known family's tokens nor a template.
    """
    template = vocabulary.chat_template
    for name, signs in _SIGNS:
        known = {*signs} <= {*vocabulary.controls}
        if name == "qwen" and qwen.SEPARATOR in (template or ""):
            continue
        if known and (not template or all(sign in template for sign in signs[:2])):
            return name
    if template:
        return "plain"
    raise UnknownDialect(
        "the model's vocabulary has the control tokens of no known family, and the model has no "
        f"chat template; choose a model of a known family ({', '.join(DIALECTS)}), or give its "
        "folder a chat_template.jinja"
    )
