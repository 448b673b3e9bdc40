"""Tiny models made on the spot: a trained byte-level BPE as GGUF file and as tokenizer.json."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from server.vocabulary.split_patterns import split_rule

#: Text with what the split rules differ in: contractions, case, digits, space runs, scripts.
CORPUS = [
    "The quick brown fox doesn't jump over 12345 lazy dogs; we'll see, they'RE here. " * 3,
    "def solve(n: int) -> int:\n    return sum(i**2 for i in range(1, n + 1))\n\n" * 3,
    "camelCase HTTPServer XMLHttpRequest snake_case 1234567 3.14159 1e-9\n\n\n   \t  x  y\r\n" * 3,
    "naïve café für Übergröße — Привет, мир! 数学オリンピック 한국어 عربى हिन्दी 😀😃🎉👍🏽 👨‍👩‍👧"
    * 3,
    "\\frac{1}{2} \\boxed{42} $$x^2+y^2=z^2$$ <|im_end|> </s> /* // */ ####### ......" * 3,
    "0 00 000 0000 01 012 0123 2024 9999 100000 x1 1x 12ab34",
]
CONTROLS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
USER_DEFINED = ("<think>", "</think>")
UNUSED = ("[PAD0]",)
ENDS = {"eos": "<|im_end|>"}
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_WIDTH, _HEADS, _FEED_FORWARD = 32, 2, 64


@dataclass(frozen=True, slots=True)
class TinyBpe:
    """A trained byte-level BPE: its tokenizer, tokens by id, and merges."""

    tokenizer: Tokenizer
    tokens: list[str]
    merges: list[tuple[str, str]]


def train(pre: str, size: int = 900) -> TinyBpe:
    """Train a byte-level BPE whose text is split by the rule of a `tokenizer.ggml.pre` value."""
    split = pre_tokenizers.Split(Regex(split_rule(pre).pattern), behavior="isolated")
    return _train([split], CORPUS, size)


def train_across_splits(texts: Sequence[str], size: int = 4000) -> TinyBpe:
    """Train a byte-level BPE on unsplit text: its tokens cross every border a rule may draw.

    So any difference between two split rules shows in the ids.
    """
    return _train([], texts, size)


def _train(splits: list[pre_tokenizers.PreTokenizer], texts: Sequence[str], size: int) -> TinyBpe:
    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splits, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    model = orjson.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    return TinyBpe(tokenizer, tokens, [(left, right) for left, right in model["merges"]])


def write_tokenizer_json(
    bpe: TinyBpe, path: Path, added: Sequence[str] = (*CONTROLS, *USER_DEFINED)
) -> None:
    """Write a tokenizer.json with added tokens."""
    spec = orjson.loads(bpe.tokenizer.to_str())
    spec["added_tokens"] = [
        added_token(len(bpe.tokens) + place, name) for place, name in enumerate(added)
    ]
    path.write_bytes(orjson.dumps(spec))


def write_byte_fallback_json(path: Path, added: Sequence[str] = (*CONTROLS, *USER_DEFINED)) -> None:
    """Write a tokenizer.json laid out as Gemma's, with added tokens.

    Spaces are marked, unknown characters fall back to byte tokens, control tokens lie inside the
    vocabulary, and runs of line ends are listed as added although merges spell them.
    """
    tokenizer = Tokenizer(models.BPE(byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(vocab_size=600, show_progress=False)
    tokenizer.train_from_iterator([*CORPUS, "\n\n\n\n"], trainer)
    spec = orjson.loads(tokenizer.to_str())
    vocabulary: dict[str, int] = spec["model"]["vocab"]
    for name in [*added, *(f"<0x{byte:02X}>" for byte in range(256))]:
        vocabulary[name] = len(vocabulary)
    spec["decoder"] = {
        "type": "Sequence",
        "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
        ],
    }
    spec["added_tokens"] = [added_token(vocabulary[name], name) for name in [*added, "\n", "\n\n"]]
    path.write_bytes(orjson.dumps(spec))


def added_token(token_id: int, name: str) -> dict[str, object]:
    """Return an entry of a tokenizer.json's `added_tokens`; special but for plain text and tags."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    special = name not in USER_DEFINED and not name.isspace()
    return {"id": token_id, "content": name, "special": special, **flags}


def gguf_bytes(bpe: TinyBpe, pre: str) -> bytes:
    """Return a whole GGUF file: `bpe` with added tokens, and a model of one block, all zeros."""
    names = [*bpe.tokens, *CONTROLS, *USER_DEFINED, *UNUSED]
    types = [1] * len(bpe.tokens) + [3] * len(CONTROLS) + [4] * len(USER_DEFINED) + [5]
    entries = [
        _entry("general.architecture", text("llama")),
        _entry("llama.context_length", _uint32(512)),
        _entry("llama.embedding_length", _uint32(_WIDTH)),
        _entry("llama.block_count", _uint32(1)),
        _entry("llama.feed_forward_length", _uint32(_FEED_FORWARD)),
        _entry("llama.attention.head_count", _uint32(_HEADS)),
        _entry("llama.attention.layer_norm_rms_epsilon", struct.pack("<If", 6, 1e-5)),
        _entry("tokenizer.ggml.model", text("gpt2")),
        _entry("tokenizer.ggml.pre", text(pre)),
        _entry("tokenizer.ggml.tokens", texts(names)),
        _entry(
            "tokenizer.ggml.token_type", struct.pack(f"<IIQ{len(types)}i", 9, 5, len(types), *types)
        ),
        _entry("tokenizer.ggml.merges", texts([" ".join(merge) for merge in bpe.merges])),
        _entry("tokenizer.ggml.eos_token_id", _uint32(names.index(ENDS["eos"]))),
        _entry("tokenizer.chat_template", text(CHAT_TEMPLATE)),
    ]
    return _file(entries, _tensors(len(names)))


def metadata_bytes(entries: Mapping[str, bytes]) -> bytes:
    """Return a GGUF file that has metadata (each value with its type code) and no tensor."""
    return _file([_entry(key, value) for key, value in entries.items()], {})


def _tensors(vocabulary_size: int) -> dict[str, tuple[int, ...]]:
    square = (_WIDTH, _WIDTH)
    return {
        "token_embd.weight": (_WIDTH, vocabulary_size),
        "output_norm.weight": (_WIDTH,),
        "blk.0.attn_norm.weight": (_WIDTH,),
        "blk.0.ffn_norm.weight": (_WIDTH,),
        **{f"blk.0.attn_{part}.weight": square for part in ("q", "k", "v", "output")},
        "blk.0.ffn_gate.weight": (_WIDTH, _FEED_FORWARD),
        "blk.0.ffn_up.weight": (_WIDTH, _FEED_FORWARD),
        "blk.0.ffn_down.weight": (_FEED_FORWARD, _WIDTH),
    }


def _file(entries: Sequence[bytes], tensors: Mapping[str, tuple[int, ...]]) -> bytes:
    infos, offset = b"", 0
    for name, shape in tensors.items():
        infos += _raw(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, offset)
        elements = 1
        for length in shape:
            elements *= length
        offset += elements * 4  # float32; every shape is a multiple of the 32-byte alignment
    header = (
        b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries)) + b"".join(entries) + infos
    )
    padding = -len(header) % 32
    return header + bytes(padding + offset)


def _raw(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _entry(key: str, value: bytes) -> bytes:
    return _raw(key) + value


def _uint32(value: int) -> bytes:
    return struct.pack("<II", 4, value)


def text(value: str) -> bytes:
    """Return a metadata value: one string."""
    return struct.pack("<I", 8) + _raw(value)


def texts(values: Sequence[str]) -> bytes:
    """Return a metadata value: an array of strings."""
    return struct.pack("<IIQ", 9, 8, len(values)) + b"".join(map(_raw, values))
