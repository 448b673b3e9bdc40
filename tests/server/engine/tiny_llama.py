"""A language model made on the spot: real llama.cpp serves it in a tenth of a second.

Random weights, but for two things: tokens that are not printable ASCII are out of reach unless
forced, and the end token has a small chance at every step, never the best one.
"""

from pathlib import Path

import gguf
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
    names = [*bpe.tokens, *tiny_models.CONTROLS, *tiny_models.USER_DEFINED]
    end = names.index(tiny_models.ENDS["eos"])
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT_TOKENS)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(names)
    kinds = [gguf.TokenType.NORMAL] * len(bpe.tokens)
    kinds += [gguf.TokenType.CONTROL] * len(tiny_models.CONTROLS)
    kinds += [gguf.TokenType.USER_DEFINED] * len(tiny_models.USER_DEFINED)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(merge) for merge in bpe.merges])
    writer.add_eos_token_id(end)
    for name, tensor in _tensors(names, end).items():
        writer.add_tensor(f"{name}.weight", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


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
