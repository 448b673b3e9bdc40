"""Merged models are loaded by transformers and give the logits of base and adapter."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from training.merge.merge import merge
from training.merge.mxfp4 import quantise

torch: Any = pytest.importorskip("torch", reason="needs torch: install the extra `train`")
peft: Any = pytest.importorskip("peft", reason="needs peft: install the extra `train`")
transformers: Any = pytest.importorskip("transformers", reason="install the extra `train`")

#: peft uses names that transformers is giving up, and warns of saving embeddings.
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning"),
]

LAYERS, HIDDEN, INNER, EXPERTS, RANK, VOCABULARY = 2, 64, 96, 4, 4, 128


def make_base(folder: Path) -> Path:
    """Write a tiny gpt-oss with random weights, in float32."""
    torch.manual_seed(0)
    config = transformers.GptOssConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=INNER,
        num_hidden_layers=LAYERS, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
        num_local_experts=EXPERTS, num_experts_per_tok=2, pad_token_id=0, eos_token_id=1,
        tie_word_embeddings=False, initializer_range=0.2,
    )  # fmt: skip
    transformers.GptOssForCausalLM(config).save_pretrained(folder)
    return folder


def to_mxfp4(folder: Path, target: Path) -> Path:
    """Write the same model with experts in MXFP4, as gpt-oss is published."""
    tensors = load_file(folder / "model.safetensors")
    for name in [name for name in tensors if name.endswith(("gate_up_proj", "down_proj"))]:
        matrices = tensors.pop(name).transpose(0, 2, 1)
        pairs = [quantise(np.ascontiguousarray(matrix)) for matrix in matrices]
        tensors[f"{name}_blocks"] = np.stack([blocks for blocks, _ in pairs])
        tensors[f"{name}_scales"] = np.stack([scales for _, scales in pairs])
    target.mkdir()
    save_file(tensors, target / "model.safetensors", {"format": "pt"})
    config = transformers.AutoConfig.from_pretrained(folder)
    config.quantization_config = {
        "quant_method": "mxfp4", "modules_to_not_convert": ["self_attn", "router", "lm_head"],
    }  # fmt: skip
    config.save_pretrained(target)
    return target


def load(folder: Path) -> Any:  # noqa: ANN401 - transformers' own
    more: dict[str, Any] = {}
    if "mxfp4" in (folder / "config.json").read_text():
        more["quantization_config"] = transformers.Mxfp4Config(dequantize=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", **more
    )
    return model.float().eval()


def logits(model: Any) -> Any:  # noqa: ANN401
    ids = torch.arange(VOCABULARY)[None]
    with torch.no_grad():
        return model(ids).logits[0].double()


def distance(one: Any, other: Any) -> float:  # noqa: ANN401
    return float((one - other).norm() / other.norm())


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("models") / "base")


def train_peft(base: Path, target: Path, parameters: list[str], size: float = 0.1) -> Any:  # noqa: ANN401
    """Write a PEFT adapter with random weights; return the model that has it."""
    config = peft.LoraConfig(
        r=RANK, lora_alpha=2 * RANK, target_modules=["q_proj", "o_proj", "lm_head"],
        target_parameters=parameters, init_lora_weights=False,
    )  # fmt: skip
    model = peft.get_peft_model(load(base), config)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=size)
    model.save_pretrained(target)
    return model


def test_a_merge_gives_the_logits_of_peft(base: Path, tmp_path: Path) -> None:
    parameters = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    adapted = logits(train_peft(base, tmp_path / "adapter", parameters))
    merge(base, tmp_path / "adapter", tmp_path / "out")
    assert distance(logits(load(base)), adapted) > 0.1
    assert distance(logits(load(tmp_path / "out")), adapted) < 1e-4


@pytest.mark.filterwarnings("ignore:The following .*_pattern keys did not match:RuntimeWarning")
def test_patterns_of_ranks_and_alphas_are_read_as_peft_does(base: Path, tmp_path: Path) -> None:
    # peft warns that patterns of parameters are left out, and follows them
    config = peft.LoraConfig(
        r=RANK, lora_alpha=2 * RANK, target_modules=["q_proj", "k_proj"], use_rslora=True,
        target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
        rank_pattern={"q_proj": 8, "0.mlp.experts.down_proj": 6},
        alpha_pattern={r"layers\.1\.self_attn\..*": 3, "experts.gate_up_proj": 5},
        init_lora_weights=False,
    )  # fmt: skip
    model = peft.get_peft_model(load(base), config)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.1)
    model.save_pretrained(tmp_path / "adapter")
    merge(base, tmp_path / "adapter", tmp_path / "out")
    assert distance(logits(load(base)), logits(model)) > 0.1
    assert distance(logits(load(tmp_path / "out")), logits(model)) < 1e-4


def test_a_merge_into_mxfp4_is_read_as_it_was_written(base: Path, tmp_path: Path) -> None:
    quantised = to_mxfp4(base, tmp_path / "quantised")
    adapted = logits(train_peft(quantised, tmp_path / "adapter", ["mlp.experts.gate_up_proj"], 0.2))
    merge(quantised, tmp_path / "adapter", tmp_path / "out")
    merged = logits(load(tmp_path / "out"))
    unmerged = distance(logits(load(quantised)), adapted)
    assert unmerged > 0.2
    assert distance(merged, adapted) < unmerged / 3
