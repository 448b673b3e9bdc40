"""Builds a token table from a tiktoken rank file, with the control tokens of o200k_harmony.

A rank file has one line a token: its bytes in base64 and its rank, which is its id. It names no
control token and no split rule. The only published set in use that comes without `tokenizer.json`
is gpt-oss's, so those are what every rank file is given: OpenAI's o200k split expression, and the
control tokens of o200k_harmony, which begin right after the last rank (199,998 in o200k_base).
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from server.vocabulary.errors import VocabularyError
from server.vocabulary.split_patterns import split_rule
from server.vocabulary.table import TokenTable, byte_of_character, end_ids

#: Places after the last rank, as in OpenAI's published o200k_harmony; the rest is reserved.
_CONTROL_PLACES = {
    "<|startoftext|>": 0,
    "<|endoftext|>": 1,
    "<|return|>": 4,
    "<|constrain|>": 5,
    "<|channel|>": 7,
    "<|start|>": 8,
    "<|end|>": 9,
    "<|message|>": 10,
    "<|call|>": 14,
}
#: o200k_harmony has ids up to 201,087: 1,090 after the 199,998 ranks.
_CONTROLS = 1090
#: Far above any vocabulary in use (201,088): keeps an absurd file from filling the memory.
_MAX_RANKS = 1 << 22


def load_tiktoken(path: Path) -> TokenTable:
    """Return the table of a rank file (`o200k_base.tiktoken`).

    Takes some seconds for 200,000 ranks: each token's possible merges are looked for.

    Raises `VocabularyError` for a file that cannot be read, has gaps in its ranks or lacks a byte.
    """
    try:
        ranks = _read_ranks(path.read_bytes())
    except OSError as error:
        raise VocabularyError(f"{path}: cannot be read ({error.strerror})") from error
    except VocabularyError as error:
        raise VocabularyError(f"{path}: {error}; fetch the file again") from error
    named = {len(ranks) + place: name for name, place in _CONTROL_PLACES.items()}
    controls = {
        named.get(token_id, f"<|reserved_{token_id}|>"): token_id
        for token_id in range(len(ranks), len(ranks) + _CONTROLS)
    }
    return TokenTable(
        pieces=[*ranks, *(name.encode() for name in controls)],
        controls=controls,
        encoder=_encoder(ranks),
        eos_ids=end_ids((), controls),
        chat_template=None,
    )


def _read_ranks(content: bytes) -> dict[bytes, int]:
    """Return the ranks in order: piece → rank."""
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(content.splitlines()):
        try:
            encoded, rank = line.split()
            ranks[base64.b64decode(encoded, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            raise VocabularyError(
                f"line {number + 1}: must be a token in base64 and its rank"
            ) from None
        if int(rank) != number or len(ranks) != number + 1 or number >= _MAX_RANKS:
            raise VocabularyError(
                f"line {number + 1}: ranks must count from 0 without gap or repeat"
            )
    missing = sum(bytes([byte]) not in ranks for byte in range(256))
    if missing:
        raise VocabularyError(f"{missing} of the 256 single bytes are missing")
    return ranks


def _encoder(ranks: Mapping[bytes, int]) -> Tokenizer:
    character = {byte: letter for letter, byte in byte_of_character().items()}
    spelling = {piece: "".join(map(character.__getitem__, piece)) for piece in ranks}
    merges = [(spelling[left], spelling[right]) for left, right in _merges(ranks)]
    vocabulary = {spelling[piece]: rank for piece, rank in ranks.items()}
    # tiktoken takes a piece that is a token whole, before it merges anything.
    encoder = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=True))
    encoder.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split_rule("gpt-4o").pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return encoder


def _merges(ranks: Mapping[bytes, int]) -> Iterator[tuple[bytes, bytes]]:
    """Yield every pair of tokens that joins to a token, by the rank of what they join to."""
    for piece in ranks:
        halves = [
            (piece[:cut], piece[cut:])
            for cut in range(1, len(piece))
            if piece[:cut] in ranks and piece[cut:] in ranks
        ]
        yield from sorted(halves, key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
