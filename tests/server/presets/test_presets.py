"""Presets: the data is allowed, fits its machines, and makes settings that are accepted."""

import os
import re
import tomllib
from pathlib import Path

import pytest

from server.dialect.catalogue import DIALECTS
from server.presets.catalogue import MACHINES, preset, presets, read_presets
from server.presets.commands import models_command
from server.presets.configuration import chosen_machine, configuration, sglang_arguments
from server.presets.errors import MalformedPresets, UnknownPreset
from server.settings import load_settings
from server.weights.known import KNOWN

EVERY = [(name, machine) for name, known in presets().items() for machine in known.machines]
GOOD = """
[model]
repository = "a/b"
dialect = "qwen"
native_context = 8192
kv_bytes_per_token = 100_000
sampling = { temperature = 1.0, top_p = 1.0, min_p = 0.0 }
[model.machines.h100]
quantisation = "FP8"
weights_gb = 30
tensor_parallel = 1
context_tokens = 8192
attempts = 8
memory_fraction = 0.9
"""


#: Presets for machines without a GPU.
SMALL = {"Qwen2.5-Coder-1.5B", "two-small-models"}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start from no variable of ours, in an empty folder."""
    for name in [name for name in os.environ if name.startswith("QUORUM_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_the_promised_models_are_there() -> None:
    assert set(presets()) == {
        "gpt-oss-120b", "gpt-oss-20b", "QwQ-32B", "DeepSeek-R1-Distill-Qwen-32B",
        "DeepSeek-R1-Distill-Llama-70B", "Qwen2.5-Math-72B", "Qwen2.5-Coder-32B",
        "NuminaMath-7B-TIR", "Gemma-4-31B", *SMALL,
    }  # fmt: skip
    gpu = [name for name in presets() if name not in SMALL]
    assert all({"h100", "l4x4"} <= set(presets()[name].machines) for name in gpu)
    assert {known.dialect for known in presets().values()} == set(DIALECTS)


@pytest.mark.parametrize(("name", "machine"), EVERY)
def test_a_preset_makes_settings_that_are_accepted(name: str, machine: str) -> None:
    known = presets()[name]
    text = configuration(name, known, machine)
    Path("quorum.toml").write_text(text, encoding="utf-8")
    settings = load_settings()
    layout = known.machines[machine]
    assert settings.solve.dialect == known.dialect
    assert settings.solve.temperature == known.sampling.temperature
    assert settings.solve.top_k == known.sampling.top_k
    assert settings.engine.context_tokens == layout.context_tokens
    if name not in SMALL:
        engine = settings.engine
        repository = layout.repository or known.repository
        assert (engine.kind, engine.model) == ("sglang", Path(repository).name)
        assert engine.tensor_parallel == layout.tensor_parallel
        assert engine.kv_dtype == layout.kv_dtype
        assert engine.memory_fraction == layout.memory_fraction
        asked = sglang_arguments(known, machine)
        assert (engine.quantisation != "auto") is ("--quantization" in asked)
    assert settings.solve.attempts == layout.attempts
    assert settings.solve.agree <= layout.attempts
    assert settings.sandbox.kernels >= layout.attempts
    written = {key for section in tomllib.loads(text).values() for key in section}
    assert "dialect" in written


@pytest.mark.parametrize(("name", "machine"), EVERY)
def test_weights_and_contexts_fit_the_devices(name: str, machine: str) -> None:
    known, hardware = presets()[name], MACHINES[machine]
    layout = known.machines[machine]
    each = layout.weights_gb / layout.tensor_parallel
    assert each < hardware.memory_gb * layout.memory_fraction
    assert known.full_contexts(machine) >= 1


def test_the_embedded_preset_names_known_weights() -> None:
    assert presets()["Qwen2.5-Coder-1.5B"].model in KNOWN


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("gpt-oss-120b", "gpt-oss-120b"),
        ("GPT-OSS-20B", "gpt-oss-20b"),
        ("models/QwQ-32B-AWQ", "QwQ-32B"),
        ("/mnt/models/gpt_oss_120b/", "gpt-oss-120b"),
        ("qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "Qwen2.5-Coder-1.5B"),
        ("gemma-4-31b-it", "Gemma-4-31B"),
        ("DeepSeek-R1-Distill-32B", "DeepSeek-R1-Distill-Qwen-32B"),
        ("deepseek-r1-distill-70b-awq", "DeepSeek-R1-Distill-Llama-70B"),
    ],
)
def test_a_preset_is_found_by_a_models_name(asked: str, found: str) -> None:
    name, known = preset(asked)
    assert name == found
    assert known is presets()[found]


@pytest.mark.parametrize("asked", ["", "gpt", "llama-3-8b", "my-gpt-oss-120b"])
def test_a_model_without_preset_is_told(asked: str) -> None:
    with pytest.raises(UnknownPreset, match=r"must be one of gpt-oss-120b, "):
        preset(asked)


def test_a_machine_without_preset_is_told() -> None:
    name, known = preset("gpt-oss-120b")
    assert chosen_machine(name, known, None) == "h100"
    with pytest.raises(UnknownPreset, match=r"machine 'cpu': must be one of h100, l4x4"):
        chosen_machine(name, known, "cpu")


def test_weights_are_quantised_while_loading_only_where_they_are_not() -> None:
    assert "--quantization" in sglang_arguments(presets()["QwQ-32B"], "h100")
    assert "--quantization" not in sglang_arguments(presets()["QwQ-32B"], "l4x4")
    assert "--quantization" not in sglang_arguments(presets()["gpt-oss-120b"], "h100")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('dialect = "qwen"', 'dialect = "klingon"', "dialect"),
        ('"FP8"', '"3-bit"', "quantisation"),
        ('"FP8"', '"AWQ 4-bit"', "h100: repository must name the AWQ 4-bit weights"),
        ("weights_gb = 30", "weights_gb = 90", "must fit its memory"),
        ("weights_gb = 30", "weights_gb = nan", "weights_gb"),
        ("context_tokens = 8192", "context_tokens = 9000", "at most 8192"),
        ("tensor_parallel = 1", "tensor_parallel = 3", "must divide"),
        ("machines.h100", "machines.abacus", "must be one of h100, l4x4, cpu"),
        ("top_p = 1.0", "top_p = 0.0", "top_p"),
        ('repository = "a/b"', 'repository = "a/b"\nprompts = "none"', "set of prompts"),
        ('repository = "a/b"', 'repository = "a/b"\nnonsense = 1', "nonsense"),
        ("[model]", "[model", "not valid TOML"),
    ],
)
def test_malformed_presets_are_refused(old: str, new: str, complaint: str) -> None:
    assert set(read_presets(GOOD)) == {"model"}
    assert old in GOOD
    with pytest.raises(MalformedPresets, match=re.escape(complaint)):
        read_presets(GOOD.replace(old, new))


def test_the_command_lists_every_model_and_machine(capsys: pytest.CaptureFixture[str]) -> None:
    models_command()
    lines = capsys.readouterr().out.splitlines()
    assert [tuple(line.split()[i] for i in (0, 2)) for line in lines[1 : len(EVERY) + 1]] == EVERY


def test_the_command_prints_a_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    models_command("gpt-oss-120b", machine="l4x4")
    written = tomllib.loads(capsys.readouterr().out)
    assert written["solve"]["dialect"] == "harmony"
    assert written["engine"]["context_tokens"] == 49_152


def test_a_folder_that_is_there_is_the_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "QwQ-32B-FP8"
    folder.mkdir()
    models_command(str(folder), machine="h100")
    assert tomllib.loads(capsys.readouterr().out)["engine"]["model"] == str(folder)


def test_a_file_that_is_there_is_the_embedded_engines_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "qwen2.5-coder-1.5b-instruct-q8_0.gguf"
    file.touch()
    models_command(str(file))
    assert tomllib.loads(capsys.readouterr().out)["engine"]["model"] == str(file)


@pytest.mark.parametrize("parent", ["\U0001f600", "数学", 'a"b\\c', "\x7f"])
def test_any_path_is_written_as_toml(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], parent: str
) -> None:
    folder = tmp_path / parent / "gpt-oss-120b"
    folder.mkdir(parents=True)
    models_command(str(folder))
    assert tomllib.loads(capsys.readouterr().out)["engine"]["model"] == str(folder)


def test_the_command_lists_what_is_for_a_machine(capsys: pytest.CaptureFixture[str]) -> None:
    models_command(machine="cpu")
    lines = capsys.readouterr().out.splitlines()
    listed = [tuple(line.split()[i] for i in (0, 2)) for line in lines[1 : len(SMALL) + 1]]
    assert listed == [one for one in EVERY if one[1] == "cpu"]
    with pytest.raises(UnknownPreset, match=r"machine 'abacus': must be one of h100, l4x4, cpu"):
        models_command(machine="abacus")
