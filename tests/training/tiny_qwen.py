"""A tiny Qwen3 with weights that differ, for tests with torch."""

from pathlib import Path
from typing import Any


def save_tiny(
    folder: Path,
    torch: Any,  # noqa: ANN401 - modules
    transformers: Any,  # noqa: ANN401
    width: int = 32,
) -> Path:
    """Write the model to a folder; return the folder."""
    torch.manual_seed(0)
    config = transformers.Qwen3Config(
        vocab_size=64, hidden_size=width, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16, tie_word_embeddings=False,
    )  # fmt: skip
    model = transformers.Qwen3ForCausalLM(config)
    model.lm_head.weight.data.mul_(10)
    model.save_pretrained(folder)
    return folder
