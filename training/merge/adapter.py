"""LoRA adapters as Tinker and PEFT write them, matched to the tensors of a base model.

Names of Tinker: `attn` for `self_attn`, `unembed_tokens` for `lm_head`; experts' `w1` (gate), `w3`
(up) and `w2` (down) with shapes (experts or 1, rank, in) and (experts or 1, out, rank). PEFT writes
parameters of all experts as A (rank * experts, in), expert by expert, and B (out, rank * experts),
rank by rank; in and out change places where its version does not know that gpt-oss in transformers
stores such a parameter as (experts, in, out). Other tools write modules of single experts.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from training.errors import BadAdapter, BadBase
from training.merge.adapter_settings import Settings, read_settings
from training.merge.base import BLOCKS, SCALES, Base
from training.merge.lora import Factors, Lora
from training.merge.tensor_file import TensorFile, open_tensors, read_floats

__all__ = ["CONFIG", "WEIGHTS", "Factors", "Lora", "read_adapter", "shape_of"]

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
_PREFIX = "base_model.model."
_SIDE = re.compile(r"^(?P<module>.+)\.lora_(?P<side>[AB])(\.default)?\.weight$")
#: Names of experts' matrices, Tinker's and others': the base's name, and the part of its
#: alternating rows.
_EXPERT_PARTS: dict[str, tuple[str, int | None]] = {
    "w1": ("gate_up_proj", 0), "w3": ("gate_up_proj", 1), "w2": ("down_proj", None),
    "gate_proj": ("gate_up_proj", 0), "up_proj": ("gate_up_proj", 1),
    "gate_up_proj": ("gate_up_proj", None), "down_proj": ("down_proj", None),
    "gate_up_projs": ("gate_up_proj", None), "down_projs": ("down_proj", None),
}  # fmt: skip
#: A module of one expert, as tinker-cookbook's converter names it for PEFT, and as lists of layers.
_ONE_EXPERT = re.compile(
    r"^(?P<experts>.+\.experts)\.(?:(?P<first>\d+)\.(?P<name>\w+)|(?P<list>\w+)\.(?P<last>\d+))$"
)


class Sides(NamedTuple):
    """A module's matrices A and B; `single`: those of one expert after the other."""

    down: list[str]
    up: list[str]
    single: bool = False


def read_adapter(folder: Path, base: Base) -> dict[str, list[Lora]]:
    """Return an adapter's deltas by the base's tensors (an MXFP4 weight's without `_blocks`).

    Raises:
        BadAdapter: tensors are missing, unknown, or of a wrong shape; the settings are unsupported.
        BadBase: gate and up projections are trained apart, and how the base joins them is unknown.
        BadTensors: the file is cut short or damaged.
    """
    settings = read_settings(folder / CONFIG)
    _check_format(folder)
    file = open_tensors(folder / WEIGHTS)
    found: dict[str, dict[str, str]] = {}
    for name in file.entries:
        match = _SIDE.match(name)
        if match is None and _is_of_base(file, name, base):
            continue
        if match is None:
            what = "a LoRA of embeddings" if ".lora_embedding_" in name else "not a LoRA matrix"
            raise BadAdapter(
                f"{file.path}: {name} is {what}; only LoRA of matrices, without biases and without "
                "whole modules, can be merged: train without it"
            )
        pair = found.setdefault(_module_of(name), {})
        if match["side"] in pair:
            raise BadAdapter(f"{file.path}: {name} is there twice; export the adapter again")
        pair[match["side"]] = name
    if not found:
        raise BadAdapter(f"{file.path}: holds no LoRA matrices; export the adapter again")
    modules = _gathered(file, found, base)
    deltas: dict[str, list[Lora]] = {}
    turned = _are_turned(file, modules, base)
    for module, sides in sorted(modules.items()):
        lora = _lora(file, module, sides, base, settings, turned=turned)
        deltas.setdefault(lora.target, []).append(lora)
    _check_complete(file, settings.config, base, deltas)
    for target, loras in deltas.items():
        parts = [lora.part for lora in loras]
        if len(set(parts)) < len(parts) or (None in parts and len(parts) > 1):
            raise BadAdapter(f"{file.path}: {target} is trained twice; export the adapter again")
    return deltas


def _check_format(folder: Path) -> None:
    """Raise `BadAdapter` where weights are there in another form: pickled, or in several files."""
    others = [] if (folder / WEIGHTS).exists() else sorted(folder.glob("adapter_model*"))
    if others:
        raise BadAdapter(
            f"{folder}: has {others[0].name}, must have {WEIGHTS}; save the adapter again with "
            "PEFT, in one file of safetensors"
        )


def _module_of(name: str) -> str:
    """Return the module of a LoRA's matrix, as the base calls it."""
    return name.partition(".lora_")[0].removeprefix(_PREFIX)


def _gathered(file: TensorFile, found: dict[str, dict[str, str]], base: Base) -> dict[str, Sides]:
    """Return the matrices of each module, those of single experts as one module.

    A base that has the experts one by one is merged into so.
    """
    modules: dict[str, Sides] = {}
    of_experts: dict[str, dict[int, dict[str, str]]] = {}
    for module, pair in found.items():
        missing = [f"lora_{side}" for side in "AB" if side not in pair]
        if missing:
            raise BadAdapter(f"{file.path}: {module} lacks {missing[0]}; export the adapter again")
        match = _ONE_EXPERT.match(module)
        if match is None or f"{module}.weight" in base.where:
            modules[module] = Sides([pair["A"]], [pair["B"]])
            continue
        whole = f"{match['experts']}.{match['name'] or match['list']}"
        of_experts.setdefault(whole, {})[int(match["first"] or match["last"])] = pair
    for module, pairs in of_experts.items():
        lacking = next((number for number in range(len(pairs)) if number not in pairs), None)
        if lacking is not None:
            raise BadAdapter(
                f"{file.path}: {module} lacks expert {lacking}; export the adapter again"
            )
        of_each = [pairs[number] for number in range(len(pairs))]
        modules[module] = Sides(
            [pair["A"] for pair in of_each], [pair["B"] for pair in of_each], single=True
        )
    return modules


def _is_of_base(file: TensorFile, name: str, base: Base) -> bool:
    """Whether a tensor is the base's own, which PEFT saves beside a LoRA of the embeddings."""
    own = name.removeprefix(_PREFIX).replace(".base_layer.", ".")
    if own == "lm_head.weight" and base.is_tied:
        return True  # the embeddings once more; why a LoRA of it is refused is told with that
    if own not in base.where or base.entry(own).shape != file.entries[name].shape:
        return False
    floats = {file.entries[name].dtype, base.entry(own).dtype} <= {"BF16", "F16", "F32"}
    return floats and np.array_equal(read_floats(file, name), read_floats(base.where[own], own))


def _check_complete(
    file: TensorFile, config: dict[str, Any], base: Base, deltas: dict[str, list[Lora]]
) -> None:
    """Raise `BadAdapter` where the settings name a module that the base has and the adapter lacks.

    Names that are patterns, and settings that leave layers out, say nothing of that. Layers of
    which nothing was trained, as `mtp.layers` beside `model.layers`, may have the same names.
    """
    if any(config.get(name) for name in _PARTIAL):
        return
    modules, parameters = (
        [str(each) for each in named] if isinstance(named, list) else []
        for named in (config.get("target_modules"), config.get("target_parameters"))
    )
    trained = {found[1] for found in map(_LAYER.match, deltas) if found}
    # transformers has single experts as one parameter from 5 on, which names of modules do not mean
    are_seen = any(map(_SINGLE_EXPERT.search, deltas))
    for tensor in base.where:
        layer = _LAYER.match(tensor)
        if trained and layer and layer[1] not in trained:
            continue  # such as those of the next tokens' heads, which PEFT does not see
        if not are_seen and _SINGLE_EXPERT.search(tensor):
            continue
        module = tensor.removesuffix(".weight")
        parameter = tensor.removesuffix(BLOCKS)
        is_matrix = tensor.endswith(".weight") and len(base.entry(tensor).shape) == 2
        lacks = (is_matrix and tensor not in deltas and _is_named(module, modules)) or (
            parameter not in deltas and _is_named(parameter, parameters)
        )
        if lacks:
            raise BadAdapter(
                f"{file.path}: has nothing for {module if is_matrix else parameter}, which "
                f"{CONFIG} names among what was trained; export the adapter again"
            )


#: A tensor of one expert.
_SINGLE_EXPERT = re.compile(r"\.experts\.\d+\.")
#: A tensor of a layer; the group names the layers.
_LAYER = re.compile(r"^(.*?)\.\d+\.")
#: Settings of PEFT by which only some of the modules that are named are trained.
_PARTIAL = ("layers_to_transform", "exclude_modules", "layers_pattern")


def _is_named(module: str, names: list[str]) -> bool:
    return any(module == name or module.endswith(f".{name}") for name in names)


def _lora(
    file: TensorFile, module: str, sides: Sides, base: Base, settings: Settings, *, turned: bool
) -> Lora:
    for name in (*sides.down, *sides.up):
        entry = file.entries[name]
        if entry.dtype not in {"BF16", "F16", "F32"} or len(entry.shape) not in {2, 3}:
            raise BadAdapter(
                f"{file.path}: {name} is {entry.dtype} of shape {entry.shape}; must be a matrix of "
                "BF16, F16 or F32"
            )
        if not np.isfinite(read_floats(file, name)).all():
            raise BadAdapter(f"{file.path}: {name} has values that are not finite; train again")
    shapes = [file.entries[names[0]].shape for names in (sides.down, sides.up)]
    is_stacked = all(map(_is_matrix, shapes)) and module.endswith(_STACKED)
    turned = turned and is_stacked
    target, part = _target(module, base, _out_and_in(*shapes, turned=turned))
    if part is not None:
        _check_alternates(base, module, target)
    shape = shape_of(base, target)
    rank, scaling = _rank_and_scaling(file, sides, settings, target, stacked=is_stacked)
    lora = Lora(
        module=module,
        file=file,
        down=sides.down,
        up=sides.up,
        scaling=scaling,
        target=target,
        part=part,
        experts=shape[0] if len(shape) == 3 else 1,
        stacked=len(shape) == 3 and all(map(_is_matrix, shapes)) and not sides.single,
        turned=turned,
    )
    if sides.single and len(sides.down) != lora.experts:
        raise BadAdapter(
            f"{file.path}: {module} is there for {len(sides.down)} experts, must be for all "
            f"{lora.experts} of {target}; export the adapter again"
        )
    _check(lora, shape, rank)
    return lora


def _rank_and_scaling(
    file: TensorFile, sides: Sides, settings: Settings, target: str, *, stacked: bool
) -> tuple[int, float]:
    """Return a module's rank and the scaling of its delta; single experts' must be the same.

    PEFT's patterns name a parameter of all experts by the parameter, anything else by the module.
    """
    modules = [target] if stacked else [_module_of(name) for name in sides.down]
    told = {settings.of(module, target.removesuffix(".weight")) for module in modules}
    if len(told) > 1:
        raise BadAdapter(
            f"{file.path}: {modules[0]} and other experts of {target} have other ranks or alphas "
            "by rank_pattern or alpha_pattern, must have the same: serve the adapter unmerged"
        )
    return told.pop()


def _check_alternates(base: Base, module: str, target: str) -> None:
    """Raise `BadBase` unless gate and up are alternating rows of the target.

    In MXFP4 they are, since only gpt-oss is published so; of floats the configuration must say it.
    """
    if target in base.where and not base.alternates:
        named = base.config.get("model_type") or base.config.get("architectures") or "not named"
        raise BadBase(
            f"{base.folder}: its architecture is {named}, must be gpt-oss for {module}: others do "
            f"not alternate gate and up in {target}; merge with the tool that made the adapter, or "
            "serve it unmerged"
        )


def _check(lora: Lora, shape: tuple[int, ...], rank: int) -> None:
    """Raise `BadAdapter` unless the matrices make a delta of the target's shape."""
    down, up = lora.shapes()
    rows = shape[-2] if lora.part is None else shape[-2] // 2
    either = {1, lora.experts}
    fits = (
        len(down) == len(up) == 3
        and down[0] in either
        and up[0] in either
        and down[1:] == (rank, shape[-1])
        and up[1:] == (rows, rank)
        and lora.is_whole()
    )
    if not fits:
        raise BadAdapter(
            f"{lora.file.path}: {lora.module} has shapes {down} and {up}; for {lora.target} of "
            f"shape {shape} and rank {rank} they must be ({lora.experts} or 1, {rank}, "
            f"{shape[-1]}) and ({lora.experts} or 1, {rows}, {rank}): the adapter is of another "
            "model"
        )


def shape_of(base: Base, target: str) -> tuple[int, ...]:
    """Return the shape of a target as a matrix of (out, in), experts first where there are some."""
    if target in base.where:
        shape = base.entry(target).shape
        # a parameter of all experts that is not quantised is stored as (experts, in, out)
        return (shape[0], shape[2], shape[1]) if len(shape) == 3 else shape
    experts, rows, blocks, width = base.entry(target + BLOCKS).shape
    return (experts, rows, blocks * width * 2)


#: How PEFT names the parameters of all experts: the second one that it wraps, and the first.
_STACKED = (".experts", ".experts.base_layer")


def _parameters(base: Base, module: str) -> list[str]:
    """Return the base's parameters that a module of PEFT's may be of."""
    experts = module.removesuffix(".base_layer")
    names = (f"{experts}.gate_up_proj", f"{experts}.down_proj")
    return [name for name in names if _is_there(base, name)]


def _out_and_in(down: tuple[int, ...], up: tuple[int, ...], *, turned: bool) -> tuple[int, int]:
    return (down[-1], up[0]) if turned else (up[0], down[-1])


def _is_matrix(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2


def _are_turned(file: TensorFile, modules: dict[str, Sides], base: Base) -> bool:
    """Whether an adapter's modules are PEFT's form of experts with in and out changed.

    A square parameter does not tell: what holds for the others of an adapter holds for it.
    """
    ways = {module: _ways(file, module, sides, base) for module, sides in modules.items()}
    for module, fitting in ways.items():
        if fitting == {False, True} and not any(len(other) == 1 for other in ways.values()):
            down, up = (file.entries[names[0]].shape for names in modules[module][:2])
            raise BadAdapter(
                f"{file.path}: {module} has shapes {down} and {up} for a square parameter, must "
                "show whether in and out have changed places, as versions of PEFT differ in it: "
                "train gate_up_proj as well, or merge with the PEFT that made it"
            )
    return {True} in ways.values()


def _ways(file: TensorFile, module: str, sides: Sides, base: Base) -> set[bool]:
    """Return with which of in and out changed (True) or not a module of PEFT's experts fits."""
    down, up = (file.entries[names[0]].shape for names in (sides.down, sides.up))
    if not (module.endswith(_STACKED) and _is_matrix(down) and _is_matrix(up)):
        return set()
    known = {shape_of(base, name)[1:] for name in _parameters(base, module)}
    return {turned for turned in (False, True) if _out_and_in(down, up, turned=turned) in known}


def _target(module: str, base: Base, out_and_in: tuple[int, int]) -> tuple[str, int | None]:
    """Return the base's tensor that a module of the adapter changes, and the part of its rows."""
    name = module
    if f"{module}.weight" not in base.where:  # a model may have modules that are called `attn`
        name = name.replace(".attn.", ".self_attn.")
    if name.endswith("unembed_tokens"):
        name = "lm_head"
    head, _, last = name.rpartition(".")
    part = None
    if head.endswith(".experts") and last in _EXPERT_PARTS:
        parameter, part = _EXPERT_PARTS[last]
        candidates = [f"{head}.{parameter}"]
    elif name.endswith(_STACKED):
        experts = name.removesuffix(".base_layer")
        candidates = [f"{experts}.gate_up_proj", f"{experts}.down_proj"]
    else:
        candidates = [f"{name}.weight"]
    known = [each for each in candidates if _is_there(base, each)]
    if _is_tied_head(base, name):  # a head of its own in the file is not what is multiplied with
        known = []
    if len(known) > 1:  # PEFT's names do not say which parameter it is
        known = [each for each in known if shape_of(base, each)[1:] == out_and_in]
    if not known:
        raise BadAdapter(
            f"{module}: the base model at {base.folder} has no {' or '.join(candidates)} that it "
            f"fits; {_why_none(base, name, head)}"
        )
    return known[0], part


def _is_tied_head(base: Base, name: str) -> bool:
    return name == "lm_head" and base.is_tied


def _why_none(base: Base, name: str, head: str) -> str:
    """Return why a base has nothing that a module fits, and what to do."""
    if _is_tied_head(base, name):
        return (
            "its head is tied to its embeddings, which a merge would change as well: train without "
            "lm_head, or serve the adapter unmerged"
        )
    experts = name.removesuffix(".base_layer") if name.endswith(_STACKED) else head
    one_by_one = re.compile(rf"{re.escape(experts)}\.\d+\.")
    if experts.endswith(".experts") and any(map(one_by_one.match, base.where)):
        return (
            "it has its experts one by one and the adapter has them together: convert an adapter "
            "of Tinker with tinker-cookbook to PEFT's names, experts one by one; merge one of PEFT "
            "with PEFT, train attention only, or serve the adapter unmerged"
        )
    return "the adapter is of another model"


def _is_there(base: Base, target: str) -> bool:
    return target in base.where or {target + BLOCKS, target + SCALES} <= base.where.keys()
