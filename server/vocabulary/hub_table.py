"""Builds a token table from a `tokenizer.json` (byte-level BPE, or BPE with byte fallback)."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from tokenizers import Tokenizer

from server.vocabulary.errors import VocabularyError
from server.vocabulary.table import (
    TokenTable,
    byte_level_piece,
    byte_of_character,
    end_ids,
    without_controls,
)

#: SentencePiece's mark of a space, as Gemma's vocabulary writes it.
_SPACE_MARK = "▁"
#: Far above any vocabulary in use (262,144): keeps one absurd id from filling the memory.
_MAX_IDS = 1 << 24
_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")
#: Text that every supported encoder writes back byte for byte; one that adds a space, folds case
#: or drops line ends does not.
_PROBE = "Ab  c\n\t1 é 数😀"


def load_tokenizer_json(path: Path) -> TokenTable:
    """Return the table of a `tokenizer.json`.

    Chat template and end-of-text ids come from the files beside it (`chat_template.jinja` or
    `.json`, `tokenizer_config.json`, `generation_config.json`, `config.json`). The file's
    normaliser stays in force: where it composes characters (NFC), encoding composes them.

    Raises `VocabularyError` for a file that is no tokenizer, or no BPE that keeps every byte.
    """
    try:
        return _build(_read_object(path), path.parent)
    except VocabularyError as error:
        raise VocabularyError(f"{path}: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise VocabularyError(
            f"{path}: not laid out as a tokenizer ({error!r}); fetch the file again"
        ) from error


def _build(spec: dict[str, Any], folder: Path) -> TokenTable:
    model = spec.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE" or "merges" not in model:
        raise VocabularyError("the model must be a BPE; use a model of a supported family")
    tokens: dict[str, int] = model["vocab"]
    merges = [_pair(merge) for merge in model["merges"]]
    added: list[dict[str, Any]] = spec.get("added_tokens") or []
    # What plain text spells: single characters, and whatever merges make of them.
    reachable = {token for token in tokens if len(token) == 1}
    reachable |= {left + right for left, right in merges}
    controls = {
        token["content"]: int(token["id"])
        for token in added
        # Gemma lists runs of line ends as added although text spells them: those stay plain.
        if token.get("special") or token["content"] not in reachable
    }
    piece = _piece_function(spec, tokens)
    plain, possible = without_controls(tokens, merges, controls)
    pieces = _pieces(tokens, added, controls, piece)
    settings = _read_optional(folder / "tokenizer_config.json")
    ends = _declared_ends(settings, folder, controls)
    table = TokenTable(
        pieces=pieces,
        controls=controls,
        encoder=_encoder(spec, plain, possible),
        eos_ids=end_ids((token_id for token_id in ends if token_id < len(pieces)), controls),
        chat_template=_template(folder, settings),
        begin_name=_token_name(settings, "bos_token"),
        end_name=_token_name(settings, "eos_token"),
    )
    _check_exactness(table)
    return table


def _pair(merge: str | list[str]) -> tuple[str, str]:
    """Return a merge's halves; files before tokenizers 0.20 join them with a space."""
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left, right


def _piece_function(spec: dict[str, Any], tokens: Mapping[str, int]) -> Callable[[str], bytes]:
    if '"ByteLevel"' in orjson.dumps(spec.get("decoder")).decode():
        missing, function = byte_of_character().keys() - tokens.keys(), byte_level_piece
    else:
        fallback = {f"<0x{byte:02X}>" for byte in range(256)}
        missing, function = fallback - tokens.keys(), _marked_piece
    if missing:
        raise VocabularyError(
            f"{len(missing)} of the 256 byte tokens are missing: the vocabulary must spell every "
            "byte; use a model of a supported family"
        )
    return function


def _marked_piece(token: str) -> bytes:
    byte = _BYTE_TOKEN.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace(_SPACE_MARK, " ").encode()


def _pieces(
    tokens: Mapping[str, int],
    added: list[dict[str, Any]],
    controls: Mapping[str, int],
    piece: Callable[[str], bytes],
) -> list[bytes]:
    by_id = {token_id: piece(token) for token, token_id in tokens.items()}
    for token in added:
        by_id.setdefault(int(token["id"]), str(token["content"]).encode())
    by_id.update({token_id: name.encode() for name, token_id in controls.items()})
    if not 0 <= min(by_id) <= max(by_id) < _MAX_IDS:
        raise VocabularyError(f"token ids must be from 0 to {_MAX_IDS - 1}; fetch the file again")
    return [by_id.get(token_id, b"") for token_id in range(max(by_id) + 1)]


def _encoder(
    spec: dict[str, Any], plain: dict[str, int], merges: list[tuple[str, str]]
) -> Tokenizer:
    """Return the file's tokenizer without anything that adds, names or truncates tokens."""
    model = {**spec["model"], "vocab": plain, "merges": merges, "unk_token": None, "dropout": None}
    stripped = {
        **spec,
        "model": model,
        "added_tokens": [],
        "post_processor": None,
        "truncation": None,
        "padding": None,
    }
    try:
        return Tokenizer.from_str(orjson.dumps(stripped).decode())
    except Exception as error:  # the library raises nothing narrower
        raise VocabularyError(f"not a tokenizer that `tokenizers` can read: {error}") from error


def _check_exactness(table: TokenTable) -> None:
    ids = table.encoder.encode(_PROBE, add_special_tokens=False).ids
    written = b"".join(table.pieces[token_id] for token_id in ids)
    if written != _PROBE.encode():
        raise VocabularyError(
            f"it writes {_PROBE!r} as {written!r}: must keep every byte; "
            "use a model of a supported family"
        )


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = orjson.loads(path.read_bytes())
    except OSError as error:
        raise VocabularyError(f"cannot be read ({error.strerror})") from error
    except orjson.JSONDecodeError as error:
        raise VocabularyError(f"not whole JSON ({error}); fetch the file again") from error
    if not isinstance(content, dict):
        raise VocabularyError("not a JSON object; fetch the file again")
    return content


def _read_optional(path: Path) -> dict[str, Any]:
    """Read a file beside the tokenizer, where there is one."""
    try:
        return _read_object(path) if path.is_file() else {}
    except VocabularyError as error:
        raise VocabularyError(f"{path.name} beside it: {error}") from error


def _template(folder: Path, settings: dict[str, Any]) -> str | None:
    jinja = folder / "chat_template.jinja"
    if jinja.is_file():
        try:
            return jinja.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise VocabularyError(
                f"{jinja.name} beside it: cannot be read ({error}); fetch the file again"
            ) from error
    declared = settings.get("chat_template")
    if declared is None:
        declared = _read_optional(folder / "chat_template.json").get("chat_template")
    if isinstance(declared, list):  # several, by name
        named = {entry["name"]: entry["template"] for entry in declared}
        declared = named.get("default")
    return declared if isinstance(declared, str) else None


def _declared_ends(
    settings: dict[str, Any], folder: Path, controls: Mapping[str, int]
) -> Iterator[int]:
    name = _token_name(settings, "eos_token")
    if name in controls:
        yield controls[name]
    for file in ("generation_config.json", "config.json"):
        declared = _read_optional(folder / file).get("eos_token_id")
        ids = declared if isinstance(declared, list) else [declared]
        # Some files say null, for none.
        yield from (token_id for token_id in ids if type(token_id) is int and token_id >= 0)


def _token_name(settings: dict[str, Any], key: str) -> str:
    """Return the name of a token that `tokenizer_config.json` declares; empty for none."""
    declared = settings.get(key)
    name = declared.get("content") if isinstance(declared, dict) else declared
    return name if isinstance(name, str) else ""
