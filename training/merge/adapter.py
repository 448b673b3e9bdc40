"""LoRA adapters as Tinker and PEFT write them, matched to the tensors of a base model.

Names of Tinker: `attn` for `self_attn`, `unembed_tokens` for `lm_head`; experts' `w1` (gate), `w3`
(up) and `w2` (down) with shapes (experts or 1, rank, in) and (experts or 1, out, rank). PEFT writes
parameters of all experts as A (rank * experts, in), expert by expert, and B (out, rank * experts),
rank by rank.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from training.errors import BadAdapter, reading
from training.merge.base import BLOCKS, SCALES, Base
from training.merge.tensor_file import TensorFile, open_tensors, read_floats

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
_PREFIX = "base_model.model."
_SIDE = re.compile(r"^(?P<module>.+)\.lora_(?P<side>[AB])(\.default)?\.weight$")
#: What of PEFT's settings changes the arithmetic in a way that a merge does not follow.
_UNSUPPORTED = ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save", "fan_in_fan_out")
#: Tinker's names of an expert's matrices: the base's name, and the part of its alternating rows.
_EXPERT_PARTS = {"w1": ("gate_up_proj", 0), "w3": ("gate_up_proj", 1), "w2": ("down_proj", None)}


class Factors(NamedTuple):
    """The delta `up @ down` of one tensor of the base.

    `down` has shape (experts or 1, rank, in), `up`, with the scaling in it, (experts or 1, out,
    rank). `part` is 0 where the delta is of the gate's rows only, 1 of the up projection's, which
    alternate; None: of all rows.
    """

    part: int | None
    down: NDArray[np.float32]
    up: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Lora:
    """A module of the adapter, checked and not read yet. `stacked`: PEFT's form of experts."""

    module: str
    file: TensorFile
    down: str
    up: str
    scaling: float
    target: str
    part: int | None
    experts: int
    stacked: bool

    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the shapes that `load` gives `down` and `up`."""
        down, up = (self.file.entries[name].shape for name in (self.down, self.up))
        if self.stacked and len(down) == len(up) == 2:
            rank = down[0] // self.experts
            return (self.experts, rank, down[1]), (self.experts, up[0], up[1] // self.experts)
        if len(down) == len(up) == 2:
            return (1, *down), (1, *up)
        return down, up

    def load(self) -> Factors:
        """Read the matrices."""
        down, up = read_floats(self.file, self.down), read_floats(self.file, self.up)
        down_shape, up_shape = self.shapes()
        if self.stacked:
            up = up.reshape(up_shape[1], up_shape[2], self.experts).transpose(2, 0, 1)
        return Factors(
            self.part, down.reshape(down_shape), up.reshape(up_shape) * np.float32(self.scaling)
        )


def read_adapter(folder: Path, base: Base) -> dict[str, list[Lora]]:
    """Return an adapter's deltas by the base's tensors (an MXFP4 weight's without `_blocks`).

    Raises:
        BadAdapter: tensors are missing, unknown, or of a wrong shape; the settings are unsupported.
        BadTensors: the file is cut short or damaged.
    """
    config, scaling, rank = _settings(folder / CONFIG)
    file = open_tensors(folder / WEIGHTS)
    modules: dict[str, dict[str, str]] = {}
    for name in file.entries:
        match = _SIDE.match(name)
        if match is None and _is_of_base(file, name, base):
            continue
        if match is None:
            raise BadAdapter(
                f"{file.path}: {name} is not a LoRA matrix; only LoRA without biases and without "
                "whole modules can be merged"
            )
        sides = modules.setdefault(match["module"].removeprefix(_PREFIX), {})
        if match["side"] in sides:
            raise BadAdapter(f"{file.path}: {name} is there twice; export the adapter again")
        sides[match["side"]] = name
    if not modules:
        raise BadAdapter(f"{file.path}: holds no LoRA matrices; export the adapter again")
    deltas: dict[str, list[Lora]] = {}
    for module, sides in sorted(modules.items()):
        lora = _lora(file, module, sides, base, scaling, rank)
        deltas.setdefault(lora.target, []).append(lora)
    _check_complete(file, config, base, deltas)
    for target, loras in deltas.items():
        parts = [lora.part for lora in loras]
        if len(set(parts)) < len(parts) or (None in parts and len(parts) > 1):
            raise BadAdapter(f"{file.path}: {target} is trained twice; export the adapter again")
    return deltas


def _is_of_base(file: TensorFile, name: str, base: Base) -> bool:
    """Whether a tensor is the base's own, which PEFT saves beside a LoRA of the embeddings."""
    own = name.removeprefix(_PREFIX).replace(".base_layer.", ".")
    if own not in base.where or base.entry(own).shape != file.entries[name].shape:
        return False
    floats = {file.entries[name].dtype, base.entry(own).dtype} <= {"BF16", "F16", "F32"}
    return floats and np.array_equal(read_floats(file, name), read_floats(base.where[own], own))


def _check_complete(
    file: TensorFile, config: dict[str, Any], base: Base, deltas: dict[str, list[Lora]]
) -> None:
    """Raise `BadAdapter` where the settings name a module that the base has and the adapter lacks.

    Names that are patterns, and settings that leave layers out, say nothing of that.
    """
    named = config.get("target_modules")
    if not isinstance(named, list) or any(config.get(name) for name in _PARTIAL):
        return
    for tensor in base.where:
        module = tensor.removesuffix(".weight")
        whole = tensor.endswith(".weight") and len(base.entry(tensor).shape) == 2
        if whole and tensor not in deltas and any(_names(module, str(each)) for each in named):
            raise BadAdapter(
                f"{file.path}: has nothing for {module}, which {CONFIG} names among what was "
                "trained; export the adapter again"
            )


#: Settings of PEFT by which only some of the modules that are named are trained.
_PARTIAL = ("layers_to_transform", "exclude_modules", "layers_pattern")


def _names(module: str, name: str) -> bool:
    return module == name or module.endswith(f".{name}")


def _settings(path: Path) -> tuple[dict[str, Any], float, int]:
    """Return the settings, the scaling of the deltas and the rank."""
    with reading(path, BadAdapter):
        content = path.read_bytes()
    try:
        config: dict[str, Any] = orjson.loads(content)
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
    except (ValueError, TypeError, KeyError) as error:
        raise BadAdapter(f"{path}: must have numbers r and lora_alpha ({error!r})") from None
    used = [name for name in _UNSUPPORTED if config.get(name)]
    if used or config.get("bias", "none") != "none" or config.get("peft_type", "LORA") != "LORA":
        raise BadAdapter(
            f"{path}: {', '.join(used) or 'its kind or bias'} cannot be merged; train a plain LoRA"
        )
    if rank < 1 or not math.isfinite(alpha):
        raise BadAdapter(f"{path}: r {rank} must be at least 1, lora_alpha {alpha} a number")
    return config, alpha / (math.sqrt(rank) if config.get("use_rslora") else rank), rank


def _lora(
    file: TensorFile, module: str, sides: dict[str, str], base: Base, scaling: float, rank: int
) -> Lora:
    missing = [f"lora_{side}" for side in "AB" if side not in sides]
    if missing:
        raise BadAdapter(f"{file.path}: {module} lacks {missing[0]}; export the adapter again")
    for name in sides.values():
        entry = file.entries[name]
        if entry.dtype not in {"BF16", "F16", "F32"} or len(entry.shape) not in {2, 3}:
            raise BadAdapter(
                f"{file.path}: {name} is {entry.dtype} of shape {entry.shape}; must be a matrix of "
                "BF16, F16 or F32"
            )
        if not np.isfinite(read_floats(file, name)).all():
            raise BadAdapter(f"{file.path}: {name} has values that are not finite; train again")
    shapes = [file.entries[sides[side]].shape for side in "AB"]
    target, part = _target(module, base, *shapes)
    shape = shape_of(base, target)
    lora = Lora(
        module=module,
        file=file,
        down=sides["A"],
        up=sides["B"],
        scaling=scaling,
        target=target,
        part=part,
        experts=shape[0] if len(shape) == 3 else 1,
        stacked=len(shape) == 3 and len(shapes[0]) == len(shapes[1]) == 2,
    )
    _check(lora, shape, rank)
    return lora


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
        and not (lora.stacked and lora.file.entries[lora.down].shape[0] % lora.experts)
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


def _target(
    module: str, base: Base, down: tuple[int, ...], up: tuple[int, ...]
) -> tuple[str, int | None]:
    """Return the base's tensor that a module of the adapter changes, and the part of its rows."""
    name = module.replace(".attn.", ".self_attn.")
    if name.endswith("unembed_tokens"):
        name = "lm_head" if "lm_head.weight" in base.where else "model.embed_tokens"
    head, _, last = name.rpartition(".")
    part = None
    if head.endswith(".experts") and last in _EXPERT_PARTS:
        parameter, part = _EXPERT_PARTS[last]
        candidates = [f"{head}.{parameter}"]
    elif name.endswith((".experts", ".experts.base_layer")):
        experts = name.removesuffix(".base_layer")
        candidates = [f"{experts}.gate_up_proj", f"{experts}.down_proj"]
    else:
        candidates = [f"{name}.weight"]
    known = [each for each in candidates if _is_there(base, each)]
    if len(known) > 1:  # PEFT's names do not say which parameter it is
        known = [each for each in known if shape_of(base, each)[1:] == (up[0], down[-1])]
    if not known:
        raise BadAdapter(
            f"{module}: the base model at {base.folder} has no {' or '.join(candidates)} that it "
            "fits; the adapter is of another model"
        )
    return known[0], part


def _is_there(base: Base, target: str) -> bool:
    return target in base.where or {target + BLOCKS, target + SCALES} <= base.where.keys()
