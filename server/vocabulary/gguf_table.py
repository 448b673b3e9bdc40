"""Builds a token table from a GGUF file's own vocabulary (byte-level BPE only)."""

from collections.abc import Iterator, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from server.vocabulary.errors import VocabularyError
from server.vocabulary.gguf_metadata import MetadataValue, read_metadata
from server.vocabulary.split_patterns import SplitRule, split_rule
from server.vocabulary.table import (
    TokenTable,
    byte_level_piece,
    byte_of_character,
    end_ids,
    without_controls,
)


class _TokenType(IntEnum):
    """`tokenizer.ggml.token_type` of the GGUF specification, where it is not plain text."""

    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5


_CONTROL_TYPES = (_TokenType.UNKNOWN, _TokenType.CONTROL, _TokenType.USER_DEFINED)
_END_KEYS = ("eos_token_id", "eot_token_id", "eom_token_id")


def load_gguf(path: Path) -> TokenTable:
    """Return the table of a GGUF file.

    Raises `VocabularyError` for a file that is not GGUF, is cut short, or whose vocabulary is
    not a byte-level BPE with a known split rule.
    """
    metadata = read_metadata(path)
    try:
        return _build(metadata)
    except VocabularyError as error:
        raise VocabularyError(f"{path}: {error}") from error


def _build(metadata: Mapping[str, MetadataValue]) -> TokenTable:
    model = metadata.get("tokenizer.ggml.model")
    if model != "gpt2":
        raise VocabularyError(
            f"tokenizer.ggml.model {model!r}: must be 'gpt2' (byte-level BPE); "
            "use the model's tokenizer.json instead"
        )
    tokens, types = _tokens_and_types(metadata)
    merges = list(_merges(metadata))
    controls = {
        token: token_id
        for token_id, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if kind in _CONTROL_TYPES
    }
    unused = {token for token, kind in zip(tokens, types, strict=True) if kind == _TokenType.UNUSED}
    ids = {token: token_id for token_id, token in enumerate(tokens)}
    plain, possible = without_controls(ids, merges, {*controls, *unused})
    # A file without the key was written before the key existed, when GPT-2's rule was the only one.
    rule = split_rule(str(metadata.get("tokenizer.ggml.pre", "gpt-2")))
    template = metadata.get("tokenizer.chat_template")
    return TokenTable(
        pieces=[_piece(token, kind) for token, kind in zip(tokens, types, strict=True)],
        controls=controls,
        encoder=_encoder(plain, possible, rule),
        eos_ids=end_ids(_declared_ends(metadata, len(tokens)), controls),
        chat_template=template if isinstance(template, str) else None,
        begin_name=_name(metadata, tokens, "bos_token_id"),
        end_name=_name(metadata, tokens, "eos_token_id"),
    )


def _tokens_and_types(metadata: Mapping[str, MetadataValue]) -> tuple[list[str], list[int]]:
    tokens = _array(metadata, "tokenizer.ggml.tokens", str)
    types = _array(metadata, "tokenizer.ggml.token_type", int)
    if len(tokens) != len(types):
        raise VocabularyError(
            f"{len(tokens)} tokens but {len(types)} token types: must be equally many; "
            "fetch the file again"
        )
    missing = byte_of_character().keys() - set(tokens)
    if missing:
        raise VocabularyError(
            f"{len(missing)} of the 256 byte tokens are missing: a byte-level vocabulary has all; "
            "use the model's tokenizer.json instead"
        )
    return tokens, types


def _array(metadata: Mapping[str, MetadataValue], key: str, kind: type) -> list[Any]:
    values = metadata.get(key)
    if not isinstance(values, list) or not values or not isinstance(values[0], kind):
        raise VocabularyError(f"{key}: must be a list of {kind.__name__}; fetch the file again")
    return values


def _merges(metadata: Mapping[str, MetadataValue]) -> Iterator[tuple[str, str]]:
    for merge in _array(metadata, "tokenizer.ggml.merges", str):
        left, _, right = merge.partition(" ")
        yield left, right


def _piece(token: str, kind: int) -> bytes:
    if kind == _TokenType.UNUSED:
        return b""
    return token.encode() if kind in _CONTROL_TYPES else byte_level_piece(token)


def _declared_ends(metadata: Mapping[str, MetadataValue], size: int) -> Iterator[int]:
    for key in _END_KEYS:
        token_id = metadata.get(f"tokenizer.ggml.{key}")
        if isinstance(token_id, int) and 0 <= token_id < size:
            yield token_id


def _name(metadata: Mapping[str, MetadataValue], tokens: list[str], key: str) -> str:
    token_id = metadata.get(f"tokenizer.ggml.{key}")
    return tokens[token_id] if isinstance(token_id, int) and 0 <= token_id < len(tokens) else ""


def _encoder(plain: dict[str, int], merges: list[tuple[str, str]], rule: SplitRule) -> Tokenizer:
    encoder = Tokenizer(models.BPE(plain, merges, ignore_merges=rule.ignore_merges))
    encoder.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(rule.pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return encoder
