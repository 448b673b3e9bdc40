"""What a merge refuses: wrong adapters, bases and files, and changes that would be lost."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.training import tiny
from tests.training.test_merge import adapter, stacked
from training import errors
from training.merge.commands import merge_command
from training.merge.merge import merge


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny.write_base(tmp_path / "base", tiny.base_tensors(np.random.default_rng(0)))


def test_a_square_parameter_alone_does_not_say_which_way_it_was_stacked(tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    hidden = tiny.HIDDEN
    shapes = {tiny.GATE_UP: (tiny.EXPERTS, hidden, 2 * hidden),
              tiny.DOWN: (tiny.EXPERTS, hidden, hidden)}  # fmt: skip
    base = tiny.write_base(
        tmp_path / "base", {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    )
    module = f"base_model.model.{tiny.LAYER}.mlp.experts"
    sides = stacked(source, hidden, hidden, turned=False)
    tensors = {f"{module}.lora_{side}.weight": matrix for side, matrix in sides.items()}
    with pytest.raises(errors.BadAdapter, match="must show whether in and out have changed"):
        merge(base, tiny.write_adapter(tmp_path / "adapter", tensors), tmp_path / "out")


@pytest.mark.parametrize("module", ["lm_head", "model.unembed_tokens"])
@pytest.mark.parametrize(
    ("config", "stored"),
    [
        ('{"tie_word_embeddings": true}', False), ('{"tie_word_embeddings": true}', True),
        ('{"text_config": {"tie_word_embeddings": true}}', True),
        ("{}", False),  # as Gemma's, whose architecture has it so
    ],
)  # fmt: skip
def test_a_head_that_is_tied_to_the_embeddings_is_named_as_the_reason(
    tmp_path: Path, module: str, config: str, *, stored: bool
) -> None:
    # a head that the file has all the same is not read, and a change of it would be lost
    names = ["model.embed_tokens.weight", *["lm_head.weight"] * stored]
    base = tiny.write_base(
        tmp_path / "base", {name: np.zeros((160, tiny.HIDDEN), np.float32) for name in names}
    )
    (base / "config.json").write_text(config)
    matrices = {"A": np.ones((4, tiny.HIDDEN), np.float32), "B": np.ones((160, 4), np.float32)}
    tensors = {f"base_model.model.{module}.lora_{side}.weight": each
               for side, each in matrices.items()}  # fmt: skip
    # PEFT saves the embeddings with it, by the head's name
    tensors["base_model.model.lm_head.base_layer.weight"] = np.zeros((160, 64), np.float32)
    with pytest.raises(errors.BadAdapter, match="its head is tied to its embeddings"):
        merge(base, tiny.write_adapter(tmp_path / "adapter", tensors), tmp_path / "out")


def test_a_change_that_quantising_erases_is_refused_and_can_be_allowed(
    base: Path, tmp_path: Path
) -> None:
    small = adapter(tmp_path, keep="w2", size=0.01)
    with pytest.raises(errors.MergeRefused, match=r"down_proj: cosine .* --least-cosine"):
        merge(base, small, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (report,) = merge(base, small, tmp_path / "out", least_cosine=-1)
    assert report.cosine < 0.7
    assert report.wanted_norm < 0.02 * report.base_norm


def test_small_changes_of_float_weights_are_warned_of_and_refused_only_where_none_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = np.random.default_rng(0)
    weight = source.standard_normal((tiny.HIDDEN, tiny.HIDDEN), dtype=np.float32) * 0.05
    base = tiny.write_base(tmp_path / "base", {tiny.QUERY: weight.astype(np.float16)})
    adapter(tmp_path, keep="attn", size=1e-3)
    merge_command(base, tmp_path / "adapter", tmp_path / "out")
    (told,) = json.loads((tmp_path / "out" / "merge.json").read_text())["tensors"]
    assert told["cosine"] < 0.7
    assert told["error"] < 1
    assert "warning: of 1 tensors' small changes" in capsys.readouterr().err
    (tmp_path / "adapter").rename(tmp_path / "larger")
    adapter(tmp_path, keep="attn", size=1e-6)
    with pytest.raises(errors.MergeRefused, match="less than F16 can hold; train for longer"):
        merge(base, tmp_path / "adapter", tmp_path / "none")
    merge(base, tmp_path / "adapter", tmp_path / "none", least_cosine=-1)


@pytest.mark.parametrize(
    ("weight", "kind", "told"),
    [
        (65_000.0, np.float16, "is F16, which does not reach the largest"),
        (np.inf, np.float16, "has weights that are not finite"),
        (np.nan, np.float32, "has weights that are not finite"),
    ],
)
def test_weights_that_are_or_would_be_no_numbers_are_refused(
    weight: float, kind: type, told: str, tmp_path: Path
) -> None:
    weights = np.full((tiny.HIDDEN, tiny.HIDDEN), weight)
    base = tiny.write_base(tmp_path / "base", {tiny.QUERY: weights.astype(kind)})
    made = adapter(tmp_path, keep="attn", size=20)
    for _ in range(2):  # the second finds what the first has left
        with pytest.raises(errors.BadBase, match=told):
            merge(base, made, tmp_path / "out")


def test_a_change_of_experts_beyond_all_numbers_is_refused(tmp_path: Path) -> None:
    base = tiny.write_base(tmp_path / "base", tiny.base_tensors(np.random.default_rng(0)))
    made = adapter(tmp_path, keep="w2", size=1e18)
    for _ in range(2):
        with pytest.raises(errors.BadAdapter, match="the change is too large"):
            merge(base, made, tmp_path / "out")


Q = "base_model.model.model.layers.0.attn.q_proj"
W1 = "base_model.model.model.layers.0.mlp.experts.w1"
BAD_ADAPTERS: dict[str, tuple[dict[str, tuple[int, ...] | None], dict[str, object], str]] = {
    "missing": ({f"{Q}.lora_B.weight": None}, {}, "lacks lora_B"),
    "unknown": ({f"{Q}x.lora_A.weight": (4, 64), f"{Q}x.lora_B.weight": (64, 4)}, {}, "has no"),
    "not lora": ({f"{Q}.bias": (64,)}, {}, "is not a LoRA matrix"),
    "embeddings": (
        {"base_model.model.model.embed_tokens.lora_embedding_A": (4, 160)}, {},
        "is a LoRA of embeddings",
    ),
    "layer": (
        {f"{Q.replace('0', '7')}.lora_A.weight": (4, 64),
         f"{Q.replace('0', '7')}.lora_B.weight": (64, 4)}, {}, "has no",
    ),
    "rank": ({}, {"r": 8}, "rank 8"),
    "rank of one": ({f"{Q}.lora_A.weight": (5, 64)}, {}, "has shapes"),
    "shape": ({f"{Q}.lora_A.weight": (4, 32)}, {}, "another model"),
    "experts": ({f"{W1}.lora_B.weight": (2, 96, 4)}, {}, "another model"),
    "both halves": ({f"{W1}.lora_B.weight": (3, 192, 4)}, {}, "another model"),
    "empty": (dict.fromkeys(tiny.adapter_tensors(np.random.default_rng(0))), {}, "no LoRA"),
    "dora": ({}, {"use_dora": True}, "use_dora"),
    "pattern": ({}, {"rank_pattern": {"q_proj": 8}}, "rank 8"),
    "broken pattern": ({}, {"alpha_pattern": {"q_(": 8}}, "names or patterns of modules"),
    "no pattern": ({}, {"alpha_pattern": 8}, "names or patterns of modules"),
    "alpha": ({}, {"lora_alpha": None}, "lora_alpha"),
    "bias": ({}, {"bias": "all"}, "bias"),
    "begun": ({}, {"init_lora_weights": "pissa_niter_16"}, "pissa_niter_16 changes the base"),
    "with biases": ({}, {"lora_bias": True}, "lora_bias"),
    "after a token": ({}, {"alora_invocation_tokens": [1, 2]}, "alora_invocation_tokens"),
    "replicated": ({}, {"layer_replication": [[0, 1], [0, 1]]}, "layer_replication"),
    "parameter": (
        dict.fromkeys(f"{W1.replace('w1', w)}.lora_{s}.weight" for w in ("w1", "w3") for s in "AB"),
        {"target_parameters": ["0.mlp.experts.down_proj", "mlp.experts.gate_up_proj"]},
        "has nothing for model.layers.0.mlp.experts.gate_up_proj",
    ),
    "named": (
        {f"{Q}.lora_A.weight": None, f"{Q}.lora_B.weight": None},
        {"target_modules": ["q_proj", "w1"]}, "has nothing for model.layers.0.self_attn.q_proj",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_ADAPTERS)
def test_adapters_that_do_not_fit_are_refused_by_name(
    name: str, base: Path, tmp_path: Path
) -> None:
    changes, settings, told = BAD_ADAPTERS[name]
    tensors = tiny.adapter_tensors(np.random.default_rng(1))
    for tensor, shape in changes.items():
        if shape is None:
            tensors.pop(tensor, None)
        else:
            tensors[tensor] = np.ones(shape, np.float32)
    bad = tiny.write_adapter(tmp_path / "bad", tensors, **settings)
    with pytest.raises(errors.BadAdapter, match=told):
        merge(base, bad, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "base"]


def cut(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)


@pytest.mark.parametrize("size", [0, 5, 300, -10])
def test_files_that_are_cut_are_refused(size: int, base: Path, tmp_path: Path) -> None:
    shard = base / "model-00002.safetensors"
    cut(shard, size if size >= 0 else shard.stat().st_size + size)
    with pytest.raises(errors.BadTensors, match="cut"):
        merge(base, adapter(tmp_path), tmp_path / "out")


@pytest.mark.parametrize(("extra", "told"), [(b"\0" * 9, "bytes, must be"), (b"", "begins at")])
def test_files_with_more_than_their_tensors_are_refused(
    extra: bytes, told: str, base: Path, tmp_path: Path
) -> None:
    shard = base / "model-00002.safetensors"
    content = shard.read_bytes() + extra
    if not extra:  # a tensor is gone from the header, its bytes are there
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        first = min(header, key=lambda name: header[name]["data_offsets"])
        del header[first]
        content = content[:8] + json.dumps(header).encode().ljust(length) + content[8 + length :]
    shard.write_bytes(content)
    with pytest.raises(errors.BadTensors, match=told):
        merge(base, adapter(tmp_path), tmp_path / "out")


@pytest.mark.parametrize(("blocks", "scales"), [("I8", "I8"), ("U8", "F8_E8M0"), ("U8", "I8")])
def test_experts_in_other_types_than_bytes_are_refused(
    blocks: str, scales: str, base: Path, tmp_path: Path
) -> None:
    for path in base.glob("*.safetensors"):
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        for name, each in header.items():
            kinds = {"_blocks": blocks, "_scales": scales}
            each["dtype"] = kinds.get(name[-7:], each.get("dtype"))
        told = json.dumps(header).encode()
        path.write_bytes(len(told).to_bytes(8, "little") + told + content[8 + length :])
    with pytest.raises(errors.BadBase, match=f"blocks of {blocks}, .* scales of {scales}, .* U8"):
        merge(base, adapter(tmp_path), tmp_path / "out")


@pytest.mark.parametrize("name", ["adapter_model.bin", "adapter_model-00001-of-00002.safetensors"])
def test_adapters_in_another_form_are_told_by_their_files(
    name: str, base: Path, tmp_path: Path
) -> None:
    made = adapter(tmp_path)
    (made / "adapter_model.safetensors").rename(made / name)
    with pytest.raises(errors.BadAdapter, match=f"has {name}, must have adapter_model.safetensors"):
        merge(base, made, tmp_path / "out")


def test_an_adapter_that_changes_nothing_is_told(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    merge_command(base, adapter(tmp_path, size=0), tmp_path / "out")
    assert "adapter changes nothing: all its matrices A or B are zero" in capsys.readouterr().err
    (tmp_path / "more").mkdir()
    merge_command(base, adapter(tmp_path / "more"), tmp_path / "changed")
    assert "changes nothing" not in capsys.readouterr().err


def test_experts_together_for_a_base_that_has_them_one_by_one_are_told_as_that(
    tmp_path: Path,
) -> None:
    names = [f"model.layers.0.mlp.experts.{number}.down_proj.weight" for number in range(2)]
    base = tiny.write_base(
        tmp_path / "base", {name: np.zeros((64, 96), np.float32) for name in names}
    )
    module = "base_model.model.model.layers.0.mlp.experts"
    for place, name in enumerate((f"{module}.w2", module, f"{module}.base_layer")):
        sides = {"A": (2 * tiny.RANK, 96), "B": (64, 2 * tiny.RANK)}
        tensors = {f"{name}.lora_{side}.weight": np.ones(shape, np.float32)
                   for side, shape in sides.items()}  # fmt: skip
        made = tiny.write_adapter(tmp_path / f"adapter-{place}", tensors)
        with pytest.raises(errors.BadAdapter, match="experts one by one and the adapter has them"):
            merge(base, made, tmp_path / "out")


def test_bases_that_cannot_be_merged_into_are_refused(base: Path, tmp_path: Path) -> None:
    made = adapter(tmp_path)
    config = base / "config.json"
    config.write_text(json.dumps({"quantization_config": {"quant_method": "awq"}}))
    with pytest.raises(errors.BadBase, match="quantised by awq"):
        merge(base, made, tmp_path / "out")
    config.write_text(json.dumps({"quantization_config": "int4"}))
    with pytest.raises(errors.BadBase, match="quantised by int4"):
        merge(base, made, tmp_path / "out")
    config.write_text("[")
    with pytest.raises(errors.BadBase, match="not JSON"):
        merge(base, made, tmp_path / "out")
    config.write_text("{}")
    (base / "model-00001.safetensors").unlink()
    with pytest.raises(errors.BadBase, match=r"00001.* is missing"):
        merge(base, made, tmp_path / "out")
    indexes: list[object] = [{}, {"weight_map": []}, {"weight_map": {"lm_head.weight": 1}}]
    for index in indexes:
        (base / "model.safetensors.index.json").write_text(json.dumps(index))
        with pytest.raises(errors.BadBase, match="must name the file of each tensor"):
            merge(base, made, tmp_path / "out")
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    (other / "model.gguf").write_text("")
    with pytest.raises(errors.BadBase, match=r"found [.]gguf"):
        merge(other, made, tmp_path / "out")
    with pytest.raises(errors.BadBase, match="cannot be read"):
        merge(tmp_path / "nowhere", made, tmp_path / "out")


def test_a_base_of_which_nothing_says_which_weights_it_is_is_refused(
    base: Path, tmp_path: Path
) -> None:
    source = np.random.default_rng(1)
    given = tiny.write_adapter(tmp_path / "adapter", tiny.adapter_tensors(source))
    save_file(tiny.base_tensors(source), base / "model.safetensors")  # another save of the model
    told = r"both model.safetensors and model.safetensors.index.json with 2 files"
    with pytest.raises(errors.BadBase, match=told):
        merge(base, given, tmp_path / "out")
    index = dict.fromkeys(tiny.base_tensors(source), "model.safetensors")
    (base / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    assert merge(base, given, tmp_path / "out")
