"""Whole merges: what comes out, and what goes on where it was stopped."""

import json
import resource
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

from tests.training import tiny
from training import errors
from training.merge import merge as merging
from training.merge.merge import merge
from training.merge.mxfp4 import dequantise
from training.merge.report import TensorReport


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny.write_base(tmp_path / "base", tiny.base_tensors(np.random.default_rng(0)))


def adapter(tmp_path: Path, keep: str = "", size: float = 0.1, **settings: object) -> Path:
    tensors = tiny.adapter_tensors(np.random.default_rng(1), size)
    kept = {name: tensor for name, tensor in tensors.items() if keep in name}
    return tiny.write_adapter(tmp_path / "adapter", kept, **settings)


def load(folder: Path) -> tiny.Tensors:
    tensors: tiny.Tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(path)
    return tensors


def experts(tensors: tiny.Tensors, name: str) -> NDArray[np.float32]:
    blocks, scales = tensors[f"{name}_blocks"], tensors[f"{name}_scales"]
    return dequantise(blocks.astype(np.uint8), scales.astype(np.uint8))


def cosine(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    first, second = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


def test_each_delta_arrives_where_the_model_multiplies_with_it(base: Path, tmp_path: Path) -> None:
    reports = merge(base, adapter(tmp_path), tmp_path / "out")
    before, after = load(base), load(tmp_path / "out")
    lora = {
        name.removeprefix("base_model.model."): tensor
        for name, tensor in load(tmp_path / "adapter").items()
    }
    part = f"{tiny.LAYER}.mlp.experts"
    for expert in range(tiny.EXPERTS):
        wanted = {
            which: 2
            * lora[f"{part}.{which}.lora_B.weight"][expert if which != "w2" else 0]
            @ lora[f"{part}.{which}.lora_A.weight"][expert if which == "w2" else 0]
            for which in ("w1", "w2", "w3")
        }
        gate_up = experts(after, tiny.GATE_UP)[expert] - experts(before, tiny.GATE_UP)[expert]
        down = experts(after, tiny.DOWN)[expert] - experts(before, tiny.DOWN)[expert]
        assert cosine(gate_up[0::2], wanted["w1"]) > 0.9
        assert cosine(gate_up[1::2], wanted["w3"]) > 0.9
        assert abs(cosine(gate_up[0::2], wanted["w3"])) < 0.3
        assert cosine(down, wanted["w2"]) > 0.9
    name = f"{tiny.LAYER}.attn.q_proj"
    query = 2 * lora[f"{name}.lora_B.weight"] @ lora[f"{name}.lora_A.weight"]
    assert np.allclose(after[tiny.QUERY] - before[tiny.QUERY], query, atol=1e-6)
    told = {each.name: each for each in reports}
    assert set(told) == {tiny.GATE_UP, tiny.DOWN, tiny.QUERY, "lm_head.weight"}
    applied = experts(after, tiny.DOWN) - experts(before, tiny.DOWN)
    assert told[tiny.DOWN].changed == np.count_nonzero(applied)
    assert told[tiny.DOWN].applied_norm == pytest.approx(np.linalg.norm(applied), rel=1e-3)


def test_what_is_not_trained_is_copied_byte_for_byte(base: Path, tmp_path: Path) -> None:
    merge(base, adapter(tmp_path, keep="attn"), tmp_path / "out")
    before, after = load(base), load(tmp_path / "out")
    changed = [n for n in before if before[n].tobytes() != after[n].tobytes()]
    assert changed == [tiny.QUERY]
    for path in base.iterdir():
        assert (tmp_path / "out" / path.name).stat().st_size == path.stat().st_size
    told = json.loads((tmp_path / "out" / "merge.json").read_text())
    assert set(told["files"]) == {path.name for path in base.glob("*.safetensors")}
    assert told["versions"]["numpy"] == np.__version__
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "merge.json",
        *(path.name for path in base.iterdir()),
    }


def test_weights_of_the_base_in_other_formats_are_not_among_the_merged(
    base: Path, tmp_path: Path
) -> None:
    for name in ("pytorch_model.bin", "model-Q4_K_M.gguf", "consolidated.00.pth"):
        (base / name).write_bytes(b"not merged")
    (base / "chat_template.jinja").write_text("{{ messages }}")
    merge(base, adapter(tmp_path, keep="attn"), tmp_path / "out")
    copied = {path.name for path in (tmp_path / "out").iterdir()}
    assert "chat_template.jinja" in copied
    assert not {path.suffix for path in (tmp_path / "out").iterdir()} & {".bin", ".gguf", ".pth"}


def test_experts_in_floats_take_the_same_delta(tmp_path: Path) -> None:
    tensors = tiny.base_tensors(np.random.default_rng(0))
    plain = {n: t for n, t in tensors.items() if not n.endswith(("_blocks", "_scales"))}
    for name in (tiny.GATE_UP, tiny.DOWN):
        plain[name] = np.ascontiguousarray(experts(tensors, name).transpose(0, 2, 1))
    base = tiny.write_base(tmp_path / "plain", plain)
    (tmp_path / "plain" / "config.json").write_text('{"architectures": ["GptOssForCausalLM"]}')
    reports = merge(base, adapter(tmp_path), tmp_path / "out")
    assert all(each.cosine > 0.999 for each in reports)
    lora = load(tmp_path / "adapter")
    part = f"base_model.model.{tiny.LAYER}.mlp.experts.w3"
    wanted = 2 * lora[f"{part}.lora_B.weight"][1] @ lora[f"{part}.lora_A.weight"][0]
    delta = load(tmp_path / "out")[tiny.GATE_UP][1] - plain[tiny.GATE_UP][1]
    assert np.allclose(delta[:, 1::2], wanted.T, atol=1e-5)
    # other models keep gate and up in halves, or the other way round
    for config in ("{}", '{"model_type": "qwen3_vl_moe"}'):
        (tmp_path / "plain" / "config.json").write_text(config)
        with pytest.raises(errors.BadBase, match=r"must be gpt-oss for .*w1: others do not alter"):
            merge(base, tmp_path / "adapter", tmp_path / "no")


def stacked(rng: np.random.Generator, rows: int, columns: int, *, turned: bool) -> tiny.Tensors:
    """Return a parameter of all experts as PEFT stacks it, with in and out changed or not."""
    out, into = (columns, rows) if turned else (rows, columns)
    return {
        "A": rng.standard_normal((tiny.EXPERTS * tiny.RANK, into), dtype=np.float32) * 0.1,
        "B": rng.standard_normal((out, tiny.RANK * tiny.EXPERTS), dtype=np.float32) * 0.1,
    }


@pytest.mark.parametrize("turned", [False, True])
def test_experts_of_peft_arrive_whichever_way_it_stacked_them(
    tmp_path: Path, *, turned: bool
) -> None:
    source = np.random.default_rng(0)
    hidden = tiny.HIDDEN  # a square parameter, as gpt-oss has one, does not show the way
    plain = {
        tiny.GATE_UP: source.standard_normal((tiny.EXPERTS, hidden, 2 * hidden), dtype=np.float32),
        tiny.DOWN: source.standard_normal((tiny.EXPERTS, hidden, hidden), dtype=np.float32),
    }
    base = tiny.write_base(tmp_path / "base", plain)
    (base / "config.json").write_text("{}")
    module = f"base_model.model.{tiny.LAYER}.mlp.experts"
    parts = {
        f"{module}.base_layer": (tiny.GATE_UP, stacked(source, 2 * hidden, hidden, turned=turned)),
        module: (tiny.DOWN, stacked(source, hidden, hidden, turned=turned)),
    }
    tensors = {
        f"{name}.lora_{side}.weight": matrix
        for name, (_, sides) in parts.items()
        for side, matrix in sides.items()
    }
    merge(base, tiny.write_adapter(tmp_path / "adapter", tensors), tmp_path / "out")
    after = load(tmp_path / "out")
    for name, sides in parts.values():
        # the arithmetic of PEFT's ParamWrapper
        down = sides["A"].reshape(tiny.EXPERTS, tiny.RANK, -1)
        up = sides["B"].reshape(len(sides["B"]), tiny.RANK, tiny.EXPERTS)
        way = "ore,eri->eoi" if turned else "ore,eri->eio"
        assert np.allclose(after[name] - plain[name], 2 * np.einsum(way, up, down), atol=1e-5)


def test_layers_of_other_parts_of_a_model_need_not_be_trained(tmp_path: Path) -> None:
    weight = np.zeros((tiny.HIDDEN, tiny.HIDDEN), np.float32)
    beside = tiny.QUERY.replace("model.", "mtp.", 1)
    base = tiny.write_base(tmp_path / "base", {tiny.QUERY: weight, beside: weight})
    (report,) = merge(
        base, adapter(tmp_path, keep="attn", target_modules=["q_proj"]), tmp_path / "out"
    )
    assert report.name == tiny.QUERY


#: How other tools name the modules of single experts: tinker-cookbook's converter, lists of layers.
ONE_EXPERT = [
    {"w1": "{expert}.gate_proj", "w3": "{expert}.up_proj", "w2": "{expert}.down_proj"},
    {"w2": "down_projs.{expert}"},
]


def test_single_experts_that_peft_does_not_see_need_not_be_trained(tmp_path: Path) -> None:
    # transformers 5 has them as one parameter, so that target_modules name the shared one alone
    layer = "model.layers.0.mlp"
    names = [f"{layer}.shared_expert.down_proj.weight",
             *(f"{layer}.experts.{number}.down_proj.weight" for number in range(2))]  # fmt: skip
    base = tiny.write_base(
        tmp_path / "base", {name: np.ones((64, 96), np.float32) for name in names}
    )

    def lora(name: str) -> tiny.Tensors:
        sides = {"A": (tiny.RANK, 96), "B": (64, tiny.RANK)}
        module = f"base_model.model.{name.removesuffix('.weight')}"
        return {f"{module}.lora_{side}.weight": np.ones(shape, np.float32)
                for side, shape in sides.items()}  # fmt: skip

    named = {"target_modules": ["down_proj"]}
    shared = tiny.write_adapter(tmp_path / "shared", lora(names[0]), **named)
    (report,) = merge(base, shared, tmp_path / "out")
    assert report.name == names[0]
    one = tiny.write_adapter(tmp_path / "one", lora(names[0]) | lora(names[1]), **named)
    with pytest.raises(errors.BadAdapter, match=r"has nothing for .*experts\.1\.down_proj"):
        merge(base, one, tmp_path / "none")


@pytest.mark.parametrize("names", ONE_EXPERT)
def test_modules_of_single_experts_arrive_as_those_of_all(
    names: dict[str, str], base: Path, tmp_path: Path
) -> None:
    tensors = tiny.adapter_tensors(np.random.default_rng(1))
    whole: tiny.Tensors = {}
    single: tiny.Tensors = {}
    for name, tensor in tensors.items():
        head, _, rest = name.partition(".experts.")
        which, _, side = rest.partition(".")
        if which not in names:
            continue
        whole[name] = tensor
        for expert in range(tiny.EXPERTS):
            module = f"{head}.experts.{names[which].format(expert=expert)}"
            single[f"{module}.{side}"] = tensor[expert if len(tensor) > 1 else 0].copy()
    merge(base, tiny.write_adapter(tmp_path / "whole", whole), tmp_path / "one")
    merge(base, tiny.write_adapter(tmp_path / "single", single), tmp_path / "other")
    one, other = load(tmp_path / "one"), load(tmp_path / "other")
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)
    one_of = "experts.1.down_proj" if "w1" in names else "down_projs.1"
    uneven = tiny.write_adapter(tmp_path / "uneven", single, alpha_pattern={one_of: 64})
    with pytest.raises(errors.BadAdapter, match="have other ranks or alphas by rank_pattern"):
        merge(base, uneven, tmp_path / "no")
    numbers = {name: name.partition("mlp")[2] for name in single}
    lacking = {name: tensor for name, tensor in single.items() if ".1" not in numbers[name]}
    with pytest.raises(errors.BadAdapter, match="lacks expert 1"):
        merge(base, tiny.write_adapter(tmp_path / "lacking", lacking), tmp_path / "no")
    first = {name: tensor for name, tensor in single.items() if ".0" in numbers[name]}
    with pytest.raises(errors.BadAdapter, match="is there for 1 experts, must be for all 3"):
        merge(base, tiny.write_adapter(tmp_path / "first", first), tmp_path / "no")


def patterned(tensors: tiny.Tensors) -> tiny.Tensors:
    """Return the tensors with q_proj of rank 8, so that a pattern must say so."""
    module = f"base_model.model.{tiny.LAYER}.attn.q_proj"
    source = np.random.default_rng(5)
    down, up = (source.standard_normal(shape, dtype=np.float32) * 0.1
                for shape in ((8, tiny.HIDDEN), (tiny.HIDDEN, 8)))  # fmt: skip
    return tensors | {f"{module}.lora_A.weight": down, f"{module}.lora_B.weight": up}


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("pattern", ["q_proj", "self_attn.q_proj", r".*\.0\.attn\.q_\w+"])
def test_ranks_and_alphas_of_patterns_are_those_of_their_modules(
    base: Path, tmp_path: Path, pattern: str, *, rslora: bool
) -> None:
    tensors = patterned(tiny.adapter_tensors(np.random.default_rng(1)))
    made = tiny.write_adapter(
        tmp_path / "adapter", tensors, use_rslora=rslora,
        rank_pattern={pattern: 8}, alpha_pattern={pattern: 24},
    )  # fmt: skip
    merge(base, made, tmp_path / "out")
    before, after = load(base), load(tmp_path / "out")
    module = f"base_model.model.{tiny.LAYER}.attn.q_proj"
    delta = tensors[f"{module}.lora_B.weight"] @ tensors[f"{module}.lora_A.weight"]
    scaling = 24 / np.sqrt(8) if rslora else 24 / 8
    assert np.allclose(after[tiny.QUERY] - before[tiny.QUERY], scaling * delta, atol=1e-5)
    head = [tensors[f"base_model.model.model.unembed_tokens.lora_{side}.weight"] for side in "BA"]
    others = 8 / np.sqrt(4) if rslora else 8 / 4
    applied = after["lm_head.weight"] - before["lm_head.weight"]
    assert np.allclose(applied, others * head[0] @ head[1], atol=1e-5)


@pytest.mark.parametrize(("gate", "up"), [(4, 1), (1, 4), (4, 2)])
def test_gate_and_up_may_be_of_different_ranks(
    base: Path, tmp_path: Path, gate: int, up: int
) -> None:
    ranks = {"w1": gate, "w3": up}
    module = f"base_model.model.{tiny.LAYER}.mlp.experts"
    tensors = {
        name: tensor[:, :rank] if ".lora_A" in name else tensor[:, :, :rank]
        for name, tensor in tiny.adapter_tensors(np.random.default_rng(1), 0.3).items()
        for which, rank in ranks.items()
        if f".{which}." in name
    }
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    twice = {name: 2 * rank for name, rank in ranks.items()}
    made = tiny.write_adapter(
        tmp_path / "adapter", tensors, rank_pattern=ranks, alpha_pattern=twice
    )  # fmt: skip
    merge(base, made, tmp_path / "out")
    before, after = (experts(load(each), tiny.GATE_UP) for each in (base, tmp_path / "out"))
    for part, which in enumerate(ranks):
        down, rise = (tensors[f"{module}.{which}.lora_{side}.weight"] for side in "AB")
        wanted = 2 * rise @ down
        applied = (after - before)[:, part::2]
        assert cosine(applied, wanted) > 0.98
        assert np.linalg.norm(applied) == pytest.approx(np.linalg.norm(wanted), rel=0.05)


def test_a_module_that_the_base_calls_attn_is_found(tmp_path: Path) -> None:
    module = "visual.blocks.0.attn.proj"
    base = tiny.write_base(tmp_path / "base", {f"{module}.weight": np.zeros((64, 64), np.float32)})
    tensors = {f"base_model.model.{module}.lora_{side}.weight": np.ones(shape, np.float32)
               for side, shape in (("A", (4, 64)), ("B", (64, 4)))}  # fmt: skip
    (report,) = merge(base, tiny.write_adapter(tmp_path / "adapter", tensors), tmp_path / "out")
    assert report.name == f"{module}.weight"


def test_experts_that_the_base_has_one_by_one_are_merged_one_by_one(tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    module = f"{tiny.LAYER}.mlp.experts.1.gate_proj"
    weight = source.standard_normal((96, 64), dtype=np.float32)
    base = tiny.write_base(tmp_path / "base", {f"{module}.weight": weight})
    (base / "config.json").write_text("{}")
    down, up = (source.standard_normal(shape, dtype=np.float32) for shape in ((4, 64), (96, 4)))
    tensors = {
        f"base_model.model.{module}.lora_{side}.weight": matrix
        for side, matrix in (("A", down), ("B", up))
    }
    merge(base, tiny.write_adapter(tmp_path / "adapter", tensors), tmp_path / "out")
    after = load(tmp_path / "out")[f"{module}.weight"]
    assert np.allclose(after, weight + 2 * up @ down, atol=1e-5)
    (tmp_path / "adapter").rename(tmp_path / "single")
    with pytest.raises(errors.BadAdapter, match="it has its experts one by one and the adapter"):
        merge(base, adapter(tmp_path, keep="w1"), tmp_path / "no")


def test_a_merge_that_is_stopped_goes_on(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = merge(base, adapter(tmp_path), tmp_path / "whole")
    made: list[str] = []
    carry_out = merging._carry_out

    def stopping(base: object, task: merging._Task, outputs: object) -> object:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(task.name)
        return carry_out(base, task, outputs)  # type: ignore[arg-type]

    monkeypatch.setattr(merging, "_carry_out", stopping)
    with pytest.raises(KeyboardInterrupt):
        merge(base, tmp_path / "adapter", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    first, made[:] = list(made), [""] * 4
    again = merge(base, tmp_path / "adapter", tmp_path / "out")
    assert not set(first) & set(made)
    assert again == whole
    one, other = load(tmp_path / "whole"), load(tmp_path / "out")
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)


def test_a_full_disk_is_told_and_the_merge_goes_on_when_there_is_room(
    base: Path, tmp_path: Path
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    made = adapter(tmp_path)
    largest = max(path.stat().st_size for path in base.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest - 1000, before[1]))
    try:
        with pytest.raises(errors.OutputFailed, match="no room"):
            merge(base, made, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "out").exists()
    assert merge(base, made, tmp_path / "out")


def test_another_job_does_not_go_on_with_what_one_left(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> TensorReport:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(merging, "_carry_out", stop)
        with pytest.raises(KeyboardInterrupt):
            merge(base, adapter(tmp_path), tmp_path / "out")
    other = tiny.write_adapter(tmp_path / "other", tiny.adapter_tensors(np.random.default_rng(9)))
    with pytest.raises(errors.OutputExists, match="other inputs"):
        merge(base, other, tmp_path / "out")
    (tmp_path / "there").mkdir()
    with pytest.raises(errors.OutputExists, match="there already"):
        merge(base, other, tmp_path / "there")
