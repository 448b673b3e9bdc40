"""What both file formats are read into: the table of tokens and the encoder of plain text."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from tokenizers import Tokenizer

#: Tokens at which the supported families end a turn or a text, beside what a file declares: GGUF
#: has one `eos_token_id`, while most models have two ends. Source: the families' generation_config.
_END_NAMES = frozenset(
    {
        "<|im_end|>",  # Qwen (ChatML)
        "<|endoftext|>",  # Qwen, gpt-oss
        "<|return|>",  # gpt-oss: end of the final answer
        "<|call|>",  # gpt-oss: end of a tool call
        "<|eot_id|>",  # Llama 3
        "<|eom_id|>",  # Llama 3: end of a tool call
        "<|end_of_text|>",  # Llama 3
        "<end_of_turn>",  # Gemma 3
        "<turn|>",  # Gemma 4
        "<eos>",  # Gemma
        "<｜end▁of▁sentence｜>",  # noqa: RUF001 - DeepSeek's own spelling
    }
)


@dataclass(frozen=True, slots=True)
class TokenTable:
    """A model's tokens.

    `pieces[id]` is the bytes a token stands for (a control token's: its name; a hole or a
    padding id: none). `encoder` turns plain text into ids of `pieces` outside `controls`.
    `begin_name` and `end_name` are what chat templates know as `bos_token` and `eos_token`.
    """

    pieces: list[bytes]
    controls: Mapping[str, int]
    encoder: Tokenizer
    eos_ids: frozenset[int]
    chat_template: str | None
    begin_name: str = ""
    end_name: str = ""


def end_ids(declared: Iterable[int], controls: Mapping[str, int]) -> frozenset[int]:
    """Return the ids at which a sampled text ends: the declared ones and the families' own."""
    return frozenset(declared) | {controls[name] for name in _END_NAMES if name in controls}


@cache
def byte_of_character() -> dict[str, int]:
    """Return GPT-2's alphabet: which byte each of its 256 printable characters stands for.

    Printable Latin-1 bytes are written as themselves, the other 68 as U+0100 onwards.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    alphabet = {chr(byte): byte for byte in printable}
    alphabet.update({chr(0x100 + place): byte for place, byte in enumerate(others)})
    return alphabet


def byte_level_piece(token: str) -> bytes:
    """Return the bytes of a token written in GPT-2's alphabet (else its text in UTF-8)."""
    alphabet = byte_of_character()
    try:
        return bytes([alphabet[character] for character in token])
    except KeyError:
        return token.encode()


def without_controls(
    tokens: Mapping[str, int], merges: Iterable[tuple[str, str]], controls: Iterable[str]
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return tokens and merges that cannot yield a control token, whatever the text."""
    hidden = frozenset(controls)
    kept = {token: token_id for token, token_id in tokens.items() if token not in hidden}
    possible = [
        (left, right)
        for left, right in merges
        if left in kept and right in kept and left + right in kept
    ]
    return kept, possible
