"""Presets: models by name with their dialect, sampling, and how they fit known machines.

The data is `presets.toml`, read once and checked: that names are known, that ranges hold, and that
weights and the contexts of one attempt at least fit the machine's memory.
"""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import PurePath
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from server.dialect.base import Effort
from server.presets.errors import MalformedPresets, UnknownPreset
from server.prompts import sets, variants
from server.sections.engines import NamedEngineSettings
from server.solve.mix import parse_mix
from server.solve.recipe import NONE, read_recipe
from voting.catalogue import Context
from voting.errors import VotingError
from voting.policies import PolicyNames, make_policies

Quantisation = Literal["MXFP4", "FP8", "AWQ 4-bit", "8-bit", "BF16", "Q4_K_M"]
DialectName = Literal["harmony", "qwen", "deepseek", "gemma", "plain"]
#: What no engine makes of 16-bit weights as it loads them: they are published as such.
_MADE_AHEAD = ("AWQ 4-bit",)
_FP8_KV = ("fp8_e4m3", "fp8_e5m2")
_GB = 10**9


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Machine(_Data):
    """A machine that presets are for; `memory_gb` is what one of its `devices` has."""

    title: str
    devices: int
    memory_gb: float


#: 80 GB and 24 GB as the makers count; the CPU entry is a small machine's free memory.
MACHINES: Mapping[str, Machine] = {
    "h100": Machine(title="one H100 80 GB", devices=1, memory_gb=80),
    "l4x4": Machine(title="four L4 24 GB", devices=4, memory_gb=24),
    "cpu": Machine(title="a CPU, embedded engine", devices=1, memory_gb=8),
}


class Sampling(_Data):
    """How attempts sample; as in the settings of the same names."""

    temperature: float = Field(ge=0, le=5)
    top_p: float = Field(gt=0, le=1)
    min_p: float = Field(ge=0, lt=1)
    top_k: int = Field(default=0, ge=0, le=1_000_000)


class Layout(_Data):
    """How a model is served on one machine.

    `weights_gb` is all its weights, in 10^9 bytes; `memory_fraction` the share of each device's
    memory that weights and contexts may take; `context_tokens` is for one attempt. `repository` is
    named where it differs from the model's own, since the weights are quantised already.
    """

    quantisation: Quantisation
    weights_gb: float = Field(gt=0)
    tensor_parallel: int = Field(ge=1)
    context_tokens: int = Field(ge=512)
    attempts: int = Field(ge=1, le=256)
    memory_fraction: float = Field(gt=0, le=1)
    kv_dtype: Literal["auto", "fp8_e4m3", "fp8_e5m2"] = "auto"
    repository: str = ""


class Preset(_Data):
    """A model; `kv_bytes_per_token` counts keys and values of all layers at 16 bits, 0: unknown.

    `aliases` are other names that people have for it.
    """

    repository: str
    aliases: tuple[str, ...] = ()
    model: str = ""
    dialect: DialectName
    prompts: str = "auto"
    effort: Effort | None = None
    native_context: int = Field(ge=512)
    kv_bytes_per_token: int = Field(default=0, ge=0)
    sampling: Sampling
    mix: str = ""
    weight: str = ""
    """What a vote weighs, where the model's attempts are not what the strategy's own is for."""
    recipe: str = ""
    engines: dict[str, dict[str, str | int | float | bool]] = {}
    """Further engines by name: what `[engines.NAME]` says."""
    machines: dict[str, Layout] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.prompts not in {"auto", "default", *sets()}:
            raise ValueError(f"prompts {self.prompts!r}: must be auto, default or a set of prompts")
        parse_mix(self.mix, variants())
        self._check_weight()
        self._check_engines()
        for name, layout in self.machines.items():
            if name not in MACHINES:
                raise ValueError(f"machine {name!r}: must be one of {', '.join(MACHINES)}")
            if layout.context_tokens > self.native_context:
                raise ValueError(f"{name}: context_tokens must be at most {self.native_context}")
            if MACHINES[name].devices % layout.tensor_parallel:
                raise ValueError(f"{name}: tensor_parallel must divide the number of devices")
            if self.full_contexts(name) < 1:
                raise ValueError(f"{name}: weights and one context must fit its memory")
            if layout.quantisation in _MADE_AHEAD and not layout.repository:
                raise ValueError(f"{name}: repository must name the {layout.quantisation} weights")
        return self

    def _check_weight(self) -> None:
        if self.weight:
            try:
                make_policies(PolicyNames(weight=self.weight), Context(attempts=1, agree=1))
            except VotingError as error:
                raise ValueError(str(error)) from None

    def _check_engines(self) -> None:
        for values in self.engines.values():
            NamedEngineSettings.model_validate(values)
        try:
            read_recipe(self.recipe or NONE, self.engines)
        except VotingError as error:
            raise ValueError(str(error)) from None

    def full_contexts(self, machine: str) -> float:
        """Return how many attempts' whole contexts fit beside the weights.

        Fewer than the attempts is no error: attempts are seldom all that long, and share prefixes.
        Without a known size of keys and values it is infinite where the weights fit.
        """
        layout, hardware = self.machines[machine], MACHINES[machine]
        devices = layout.tensor_parallel
        free_gb = devices * hardware.memory_gb * layout.memory_fraction - layout.weights_gb
        if not self.kv_bytes_per_token:
            return float("inf") if free_gb > 0 else 0.0
        kv_bytes = self.kv_bytes_per_token // (2 if layout.kv_dtype in _FP8_KV else 1)
        return free_gb * _GB / (kv_bytes * layout.context_tokens)


def read_presets(text: str) -> dict[str, Preset]:
    """Return the presets that a TOML text holds, by name.

    Raises:
        MalformedPresets: it is no TOML, or a value is not allowed.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MalformedPresets(f"presets: not valid TOML ({error}); correct the file") from None
    presets: dict[str, Preset] = {}
    for name, values in content.items():
        try:
            presets[name] = Preset.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, (name, *first["loc"])))
            raise MalformedPresets(f"preset {place}: {first['msg']}; correct the file") from None
    return presets


@cache
def presets() -> Mapping[str, Preset]:
    """Return the presets of this version, by name."""
    return read_presets(files(__package__).joinpath("presets.toml").read_text(encoding="utf-8"))


def preset(name: str) -> tuple[str, Preset]:
    """Return the preset of a model, with its own name.

    `name` is a preset's or an alias, whatever its case, or the name or path of a folder or file
    that begins with one: `models/QwQ-32B-AWQ`.

    Raises:
        UnknownPreset: none fits.
    """
    wanted = _plain(PurePath(name).name)
    known = presets()
    names = {each: own for own, chosen in known.items() for each in (own, *chosen.aliases)}
    fitting = [each for each in names if wanted.startswith(_plain(each))]
    if not fitting:
        raise UnknownPreset(f"model {name!r}: must be one of {', '.join(known)}")
    best = names[max(fitting, key=len)]
    return best, known[best]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower())


def attempts_of(model: str) -> tuple[str, str]:
    """Return the mix and the weight of a model's attempts by its preset; empty where unsaid."""
    try:
        chosen = preset(model)[1]
    except UnknownPreset:
        return "", ""
    return chosen.mix, chosen.weight
