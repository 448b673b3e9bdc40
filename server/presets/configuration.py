"""A preset as a `quorum.toml`, and as arguments of SGLang."""

import json
from collections.abc import Mapping

from server.presets.catalogue import MACHINES, Layout, Preset
from server.presets.errors import UnknownPreset

#: What SGLang must be told to quantise 16-bit weights as it loads them; it finds out about weights
#: that are quantised already from their config.json.
_WHILE_LOADING = {"FP8": "fp8", "8-bit": "fp8"}
#: On a GPU an attempt may take as many turns as recorded contest runs did, and half of the attempts
#: must agree; there are two kernels an attempt, so that one that is replaced delays none.
_GPU_TURNS = 128
#: Of 65 GB of weights the start took 130 s from the page cache; cold, or compiling, it takes more.
_GPU_START_S = 900
_KERNELS_AN_ATTEMPT = 2


def chosen_machine(name: str, preset: Preset, machine: str | None) -> str:
    """Return the machine to serve on: the one asked for, else the first.

    Raises:
        UnknownPreset: the preset is for other machines.
    """
    machine = machine or next(iter(preset.machines))
    if machine not in preset.machines:
        raise UnknownPreset(
            f"machine {machine!r}: must be one of {', '.join(preset.machines)} for {name}"
        )
    return machine


def configuration(name: str, preset: Preset, machine: str, model: str = "") -> str:
    """Return the text of a `quorum.toml`; `model` is the path of the weights, where it is known."""
    layout, sampling = preset.machines[machine], preset.sampling
    solve: dict[str, object] = {
        "attempts": layout.attempts,
        "dialect": preset.dialect,
        "prompts": preset.prompts,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "top_k": sampling.top_k,
    }
    if preset.recipe:
        solve["recipe"] = preset.recipe
    if preset.mix:
        solve["mix"] = preset.mix
    if preset.weight:
        solve["weight"] = preset.weight
    if preset.effort is not None:
        solve["effort"] = preset.effort.value
    sandbox: dict[str, object] = {}
    repository = layout.repository or preset.repository
    head = [
        f"# {name} ({repository}), {layout.quantisation},",
        f"# on {MACHINES[machine].title}",
    ]
    if machine == "cpu":
        engine: dict[str, object] = {
            "model": model or preset.model,
            "context_tokens": layout.context_tokens,
        }
    else:
        engine = _served(layout, model or repository.rpartition("/")[2])
        head.append("# engine.model is the folder of the weights; where SGLang runs already, give")
        head.append(f"# engine.urls, and it: {' '.join(sglang_arguments(preset, machine))}")
        solve["agree"] = max(2, layout.attempts // 2)
        solve["max_turns"], solve["max_tokens"] = _GPU_TURNS, layout.context_tokens
        sandbox["kernels"] = _KERNELS_AN_ATTEMPT * layout.attempts
    sections: dict[str, Mapping[str, object]] = {
        "engine": engine,
        **{f"engines.{name}": values for name, values in preset.engines.items()},
        "solve": solve,
        "sandbox": sandbox,
    }
    lines = [line for pair in sections.items() for line in _section(*pair)]
    return "\n".join([*head, *lines])


def _served(layout: Layout, model: str) -> dict[str, object]:
    """Return the settings with which Quorum starts SGLang."""
    engine: dict[str, object] = {
        "kind": "sglang",
        "model": model,
        "context_tokens": layout.context_tokens,
        "memory_fraction": layout.memory_fraction,
        "kv_dtype": layout.kv_dtype,
        "tensor_parallel": layout.tensor_parallel,
        "start_timeout_s": _GPU_START_S,
    }
    method = _WHILE_LOADING.get(layout.quantisation)
    return engine | ({"quantisation": method} if method else {})


def sglang_arguments(preset: Preset, machine: str) -> list[str]:
    """Return the arguments with which SGLang serves a preset, but for the model's path."""
    layout = preset.machines[machine]
    arguments = [
        "--tp-size", str(layout.tensor_parallel),
        "--context-length", str(layout.context_tokens),
        "--mem-fraction-static", str(layout.memory_fraction),
        "--kv-cache-dtype", layout.kv_dtype,
    ]  # fmt: skip
    method = _WHILE_LOADING.get(layout.quantisation)
    return [*arguments, "--quantization", method] if method else arguments


def _section(name: str, values: Mapping[str, object]) -> list[str]:
    lines = [f"{key} = {_written(value)}" for key, value in values.items()]
    return ["", f"[{name}]", *lines] if lines else []


def _written(value: object) -> str:
    """Return a string or number as TOML writes it: as JSON does, but for two kinds of character.

    Beyond the first 65,536 JSON escapes by surrogates, which TOML refuses, as it does a bare DEL.
    """
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
