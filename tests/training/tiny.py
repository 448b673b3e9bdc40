"""Tiny models and adapters with random weights, made with numpy alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

HIDDEN, INNER, EXPERTS, RANK = 64, 96, 3, 4
LAYER = "model.layers.0"
GATE_UP, DOWN = f"{LAYER}.mlp.experts.gate_up_proj", f"{LAYER}.mlp.experts.down_proj"
QUERY = f"{LAYER}.self_attn.q_proj.weight"

Tensors = dict[str, NDArray[Any]]


def base_tensors(source: np.random.Generator) -> Tensors:
    """Return the tensors of one layer of a tiny gpt-oss: MXFP4 experts, float attention."""

    def blocks(rows: int, columns: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        shape = (EXPERTS, rows, columns // 32)
        codes = source.integers(0, 256, (*shape, 16), dtype=np.uint8)
        return codes, source.integers(118, 122, shape, dtype=np.uint8)

    gate_up, gate_up_scales = blocks(2 * INNER, HIDDEN)
    down, down_scales = blocks(HIDDEN, INNER)
    return {
        QUERY: source.standard_normal((HIDDEN, HIDDEN), dtype=np.float32) * 0.05,
        "lm_head.weight": source.standard_normal((160, HIDDEN), dtype=np.float32) * 0.05,
        f"{LAYER}.mlp.router.weight": source.standard_normal((EXPERTS, HIDDEN), dtype=np.float32),
        f"{GATE_UP}_blocks": gate_up,
        f"{GATE_UP}_scales": gate_up_scales,
        f"{DOWN}_blocks": down,
        f"{DOWN}_scales": down_scales,
    }


def adapter_tensors(source: np.random.Generator, size: float = 0.1) -> Tensors:
    """Return a Tinker adapter of all that can be trained."""

    def numbers(*shape: int) -> NDArray[np.float32]:
        return source.standard_normal(shape, dtype=np.float32) * np.float32(size)

    experts = f"base_model.model.{LAYER}.mlp.experts"
    attention = f"base_model.model.{LAYER}.attn.q_proj"
    return {
        f"{attention}.lora_A.weight": numbers(RANK, HIDDEN),
        f"{attention}.lora_B.weight": numbers(HIDDEN, RANK),
        "base_model.model.model.unembed_tokens.lora_A.weight": numbers(RANK, HIDDEN),
        "base_model.model.model.unembed_tokens.lora_B.weight": numbers(160, RANK),
        f"{experts}.w1.lora_A.weight": numbers(1, RANK, HIDDEN),
        f"{experts}.w1.lora_B.weight": numbers(EXPERTS, INNER, RANK),
        f"{experts}.w3.lora_A.weight": numbers(1, RANK, HIDDEN),
        f"{experts}.w3.lora_B.weight": numbers(EXPERTS, INNER, RANK),
        f"{experts}.w2.lora_A.weight": numbers(EXPERTS, RANK, INNER),
        f"{experts}.w2.lora_B.weight": numbers(1, HIDDEN, RANK),
    }


def write_base(folder: Path, tensors: Tensors) -> Path:
    """Write a model's folder with its tensors in two files."""
    folder.mkdir()
    names = sorted(tensors)
    shards = {"model-00001.safetensors": names[::2], "model-00002.safetensors": names[1::2]}
    for file, held in shards.items():
        save_file({name: tensors[name] for name in held}, folder / file)
    index = {name: file for file, held in shards.items() for name in held}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    config = {"model_type": "gpt_oss", "quantization_config": {"quant_method": "mxfp4"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    return folder


def write_adapter(folder: Path, tensors: Tensors, **settings: object) -> Path:
    """Write an adapter's folder; its scaling is 2."""
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"r": RANK, "lora_alpha": 2 * RANK, "peft_type": "LORA", **settings}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder
