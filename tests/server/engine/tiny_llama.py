"""A language model made on the spot: real llama.cpp serves it in a tenth of a second.

Random weights, but for two things: tokens that are not printable ASCII are out of reach unless
forced, and the end token has a small chance at every step, never the best one.
"""

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.server.vocabulary import tiny_models

CONTEXT_TOKENS = 4096
WIDTH, FEED_FORWARD, HEADS = 64, 64, 2
#: The first component of every hidden state is the same, so its output weights act as biases.
CONSTANT = 5.0
OUT_OF_REACH = -6.0
#: About one sampled token in fifty at temperature 1.
END_BIAS = 0.7


def write_tiny_llama(path: Path) -> None:
    """Write a GGUF file with the vocabulary of `tiny_models` and one random block."""
    bpe = tiny_models.train("qwen2")
    controls, users = list(tiny_models.CONTROLS), list(tiny_models.USER_DEFINED)
    names = [*bpe.tokens, *controls, *users]
    end = names.index(tiny_models.ENDS["eos"])
    # Token types of GGUF: 1 normal, 3 control, 4 user-defined.
    kinds = [1] * len(bpe.tokens) + [3] * len(controls) + [4] * len(users)
    metadata = {
        "general.architecture": tiny_models.text("llama"),
        "llama.context_length": _uint32(CONTEXT_TOKENS),
        "llama.embedding_length": _uint32(WIDTH),
        "llama.block_count": _uint32(1),
        "llama.feed_forward_length": _uint32(FEED_FORWARD),
        "llama.attention.head_count": _uint32(HEADS),
        "llama.attention.layer_norm_rms_epsilon": struct.pack("<If", 6, 1e-5),
        "tokenizer.ggml.model": tiny_models.text("gpt2"),
        "tokenizer.ggml.pre": tiny_models.text("qwen2"),
        "tokenizer.ggml.tokens": tiny_models.texts(names),
        "tokenizer.ggml.token_type": struct.pack(f"<IIQ{len(kinds)}i", 9, 5, len(kinds), *kinds),
        "tokenizer.ggml.merges": tiny_models.texts([" ".join(merge) for merge in bpe.merges]),
        "tokenizer.ggml.eos_token_id": _uint32(end),
    }
    path.write_bytes(_gguf(metadata, _tensors(names, end)))


def _gguf(metadata: Mapping[str, bytes], tensors: Mapping[str, NDArray[np.float32]]) -> bytes:
    """Return a file of GGUF version 3; the format aligns tensors to 32 bytes, and so are these."""
    infos, data = b"", b""
    for name, tensor in tensors.items():
        infos += _named(f"{name}.weight")
        # The fastest dimension comes first; type 0 is float32.
        infos += struct.pack(f"<I{tensor.ndim}Q", tensor.ndim, *reversed(tensor.shape))
        infos += struct.pack("<IQ", 0, len(data))
        data += tensor.tobytes()
    entries = b"".join(_named(key) + value for key, value in metadata.items())
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)) + entries + infos
    return header + bytes(-len(header) % 32) + data


def _named(name: str) -> bytes:
    return struct.pack("<Q", len(name)) + name.encode()


def _uint32(value: int) -> bytes:
    return struct.pack("<II", 4, value)


def _tensors(names: list[str], end: int) -> dict[str, NDArray[np.float32]]:
    generator = np.random.default_rng(7)

    def random(*shape: int, spread: float = 0.3) -> NDArray[np.float32]:
        return (generator.standard_normal(shape) * spread).astype(np.float32)

    embedding, output = random(len(names), WIDTH), random(len(names), WIDTH)
    embedding[:, 0] = CONSTANT
    # A printable ASCII character, and the letter that stands for a space in a byte-level BPE.
    output[:, 0] = [0.0 if name.replace("Ġ", " ").isascii() else OUT_OF_REACH for name in names]
    output[[names.index(name) for name in tiny_models.CONTROLS], 0] = OUT_OF_REACH
    output[end] = 0
    output[end, 0] = END_BIAS
    tensors = {"token_embd": embedding, "output": output}
    for norm in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        tensors[norm] = np.ones(WIDTH, np.float32)
    for part in ("q", "k", "v", "output"):
        tensors[f"blk.0.attn_{part}"] = random(WIDTH, WIDTH)
    tensors["blk.0.ffn_gate"] = random(FEED_FORWARD, WIDTH)
    tensors["blk.0.ffn_up"] = random(FEED_FORWARD, WIDTH)
    tensors["blk.0.ffn_down"] = random(WIDTH, FEED_FORWARD)
    for writes_hidden_state in ("blk.0.attn_output", "blk.0.ffn_down"):
        tensors[writes_hidden_state][0] = 0
    return tensors
