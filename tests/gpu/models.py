"""A folder of a tiny model whose weights SGLang makes up (`--load-format dummy`)."""

from pathlib import Path

from benchmarks.gpu_models import written
from server.vocabulary import Vocabulary
from tests.server.vocabulary import tiny_models


def write_qwen(folder: Path) -> Vocabulary:
    """Write a Qwen2 model of two layers."""
    bpe = tiny_models.train("qwen2")
    tokenizer = bpe.tokenizer
    tokenizer.add_special_tokens(list(tiny_models.CONTROLS))
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "torch_dtype": "bfloat16",
        "hidden_act": "silu",
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "vocab_size": tokenizer.get_vocab_size(),
        "eos_token_id": tokenizer.token_to_id(tiny_models.ENDS["eos"]),
    }
    return written(folder, config, tiny_models.ENDS["eos"])
