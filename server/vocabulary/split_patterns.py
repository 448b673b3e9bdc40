"""How each family of byte-level vocabularies splits text before merging (`tokenizer.ggml.pre`).

A pattern is what the family's own published `tokenizer.json` (or tiktoken definition) declares.
"""

from dataclasses import dataclass

from server.vocabulary.errors import VocabularyError


@dataclass(frozen=True, slots=True)
class SplitRule:
    """A split expression, and whether a piece that is a token is taken whole, without merging."""

    pattern: str
    ignore_merges: bool = False


_CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"


def _words(digits: str) -> str:
    """Return the pattern shared by Llama 3 and Qwen 2, which differ in how digits group."""
    return (
        rf"(?i:{_CONTRACTIONS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}"
        rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_SPACES}"
    )


def _cased_words() -> str:
    """Return o200k's pattern, which also splits where a capital follows small letters."""
    lead, upper, lower = (
        r"[^\r\n\p{L}\p{N}]?",
        r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]",
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]",
    )
    ending = f"(?i:{_CONTRACTIONS})?"
    return (
        rf"{lead}{upper}*{lower}+{ending}|{lead}{upper}+{lower}*{ending}"
        rf"|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}"
    )


_GPT2 = SplitRule(rf"{_CONTRACTIONS}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|\s+(?!\S)|\s+")
_QWEN2 = SplitRule(_words(r"\p{N}"))

_RULES = {
    "gpt-2": _GPT2,
    "qwen2": _QWEN2,
    "deepseek-r1-qwen": _QWEN2,
    "llama-bpe": SplitRule(_words(r"\p{N}{1,3}"), ignore_merges=True),
    "gpt-4o": SplitRule(_cased_words()),
}


def split_rule(name: str) -> SplitRule:
    """Return the rule of a `tokenizer.ggml.pre` value; `VocabularyError` for an unknown one."""
    rule = _RULES.get(name)
    if rule is None:
        raise VocabularyError(
            f"tokenizer.ggml.pre {name!r}: must be one of {', '.join(sorted(_RULES))}; "
            "use the model's tokenizer.json instead"
        )
    return rule
