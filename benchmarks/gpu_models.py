"""A folder of gpt-oss-120b's shape, whose weights SGLang makes up (`--load-format dummy`)."""

import json
from pathlib import Path
from typing import Any

from server.engine.rehearsal_process import OWN_VOCABULARIES
from server.vocabulary import Vocabulary

#: gpt-oss-120b as its published config.json says it.
GPT_OSS_120B: dict[str, Any] = {
    "architectures": ["GptOssForCausalLM"],
    "model_type": "gpt_oss",
    "torch_dtype": "bfloat16",
    "hidden_act": "silu",
    "hidden_size": 2880,
    "intermediate_size": 2880,
    "num_hidden_layers": 36,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "num_local_experts": 128,
    "num_experts_per_tok": 4,
    "experts_per_token": 4,
    "sliding_window": 128,
    "layer_types": ["sliding_attention", "full_attention"] * 18,
    "initial_context_length": 4096,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "rope_theta": 150000,
    "rope_scaling": {
        "beta_fast": 32.0, "beta_slow": 1.0, "factor": 32.0, "rope_type": "yarn",
        "original_max_position_embeddings": 4096, "truncate": False,
    },
    "router_aux_loss_coef": 0.9,
    "swiglu_limit": 7.0,
    "attention_bias": True,
    "attention_dropout": 0.0,
    "tie_word_embeddings": False,
    "vocab_size": 201_088,
    "quantization_config": {
        "quant_method": "mxfp4",
        "modules_to_not_convert": [
            "model.layers.*.self_attn", "model.layers.*.mlp.router",
            "model.embed_tokens", "lm_head",
        ],
    },
}  # fmt: skip


def write_gpt_oss(folder: Path, layers: int = 36) -> Vocabulary:
    """Write gpt-oss-120b's shape, with all of its layers or the first few.

    The vocabulary is the rehearsal's, filled up to gpt-oss's size with tokens that no text makes.
    """
    size = int(GPT_OSS_120B["vocab_size"])
    table = json.loads((OWN_VOCABULARIES["harmony"] / "tokenizer.json").read_text("utf-8"))
    words, added = table["model"]["vocab"], {entry["id"] for entry in table["added_tokens"]}
    for token_id in set(range(size)) - {*words.values()} - added:
        words[f"unused{token_id}"] = token_id
    (folder / "tokenizer.json").write_text(json.dumps(table), encoding="utf-8")
    ends = {entry["content"]: entry["id"] for entry in table["added_tokens"]}
    shape = GPT_OSS_120B | {
        "num_hidden_layers": layers,
        "layer_types": GPT_OSS_120B["layer_types"][:layers],
        "eos_token_id": ends["<|return|>"],
    }
    return written(folder, shape, "<|return|>")


def written(folder: Path, config: dict[str, Any], end: str) -> Vocabulary:
    """Write the other files of a model's folder; return its vocabulary."""
    (folder / "config.json").write_text(json.dumps(config))
    kind = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": end}
    (folder / "tokenizer_config.json").write_text(json.dumps(kind))
    return Vocabulary.load(folder)
