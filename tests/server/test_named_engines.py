"""Settings of further engines: where they come from, what they stand for, what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from server.commands import doctor
from server.engine.memory import context_bytes
from server.errors import NamedEngineError, SettingsError
from server.journal.versions import versions_of
from server.parts import open_parts
from server.settings import Settings, load_settings
from server.vocabulary.gguf_metadata import MetadataValue

FILE = """
[engines.planner]
kind = "openai"
urls = "http://somebody:secret@host:1/v1"
model = "/models/a-planner"
api_key = "hidden"
dialect = "harmony"
effort = "low"
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """Start from no variable and from a folder without a file; return how to write one."""
    for name in ("QUORUM_CONFIG", "QUORUM_ENGINE_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        path = tmp_path / "quorum.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_they_are_read_from_file_and_variables(
    clean: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    clean(FILE)
    monkeypatch.setenv("QUORUM_ENGINES_PLANNER_CONTEXT_TOKENS", "2048")
    monkeypatch.setenv("QUORUM_ENGINES_JUDGE_MODEL", "another")
    settings = load_settings()
    assert {*settings.engines} == {"planner", "judge"}
    planner = settings.engines["planner"]
    assert (planner.kind, planner.context_tokens) == ("openai", 2048)
    assert settings.engines["judge"].model == "another"


def test_one_stands_where_the_other_does(clean: Callable[[str], Path]) -> None:
    clean(FILE)
    settings = load_settings({"solve.recipe": "verify", "engine.model": "mine"})
    own = settings.for_engine("planner")
    assert own.engine.model == "/models/a-planner"
    assert (own.solve.dialect, own.solve.effort) == ("harmony", "low")
    assert own.engine_log_path == settings.engine_log_path.with_name("engine-planner.log")
    assert (settings.engine.model, settings.solve.dialect) == ("mine", "auto")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[engines.planner]\nkind = "none"', "a further engine of kind none is none"),
        ("[engines.main]\n", r"engines\.main: a name must be"),
        ("[engines.Two]\n", r"engines\.Two: a name must be"),
        ("[engines.planner]\nslots = -1", r"engines\.planner\.slots -1: .*ENGINES_PLANNER_SLOTS$"),
        ("[engines.planner]\nspeed = 1", r"engines\.planner\.speed: no such setting"),
        ('[engines]\nplanner = "x"', "engines"),
        ("engines = 5", "engines"),
        ('[solve]\nrecipe = "verify"', r"solve\.recipe: .*0 further engines"),
        ('[solve]\nrecipe = "plan_then_code("', r"solve\.recipe: policy"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    clean: Callable[[str], Path], text: str, complaint: str
) -> None:
    clean(text)
    with pytest.raises(SettingsError, match=complaint):
        load_settings()


def test_a_variable_of_no_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORUM_ENGINES_PLANNER_SPEED", "1")
    with pytest.raises(SettingsError, match="QUORUM_ENGINES_PLANNER_SPEED: no such setting"):
        load_settings()


def test_the_record_tells_neither_folder_nor_secret(
    clean: Callable[[str], Path], tmp_path: Path
) -> None:
    weights = clean(FILE)
    told = versions_of(load_settings(), weights).settings["engines"]
    assert isinstance(told, dict)
    planner = told["planner"]
    assert isinstance(planner, dict)
    assert (planner["model"], planner["urls"]) == ("a-planner", "http://host:1/v1")
    assert "hidden" not in str(told)
    assert "secret" not in str(told)
    assert str(tmp_path) not in str(told)


async def test_one_that_cannot_be_opened_is_named() -> None:
    settings = Settings.model_validate(
        {
            "engine": {"kind": "rehearsal"},
            "engines": {"planner": {"model": "/nowhere/weights.gguf"}},
            "journal": {"enabled": False},
        }
    )
    with pytest.raises(NamedEngineError) as raised:
        async with open_parts(settings):
            raise AssertionError
    assert "engine planner (section engines.planner): " in str(raised.value)
    assert "/nowhere/weights.gguf" in str(raised.value)


def test_doctor_looks_at_each_of_them() -> None:
    settings = Settings.model_validate(
        {"engines": {"planner": {"kind": "rehearsal"}, "judge": {"model": "/nowhere/x.gguf"}}}
    )
    found = {each.subject: each for each in doctor._further_engines(settings)}
    assert {*found} == {"engine planner", "weights planner", "engine judge", "weights judge"}
    assert found["engine planner"].verdict is doctor.Verdict.OK
    assert found["weights judge"].verdict is doctor.Verdict.MISSING


def test_contexts_are_counted_from_the_model_s_own_numbers() -> None:
    """Qwen2.5-1.5B: 28 layers, 12 heads and 2 of keys and values, 1536 wide."""
    metadata: dict[str, MetadataValue] = {
        "general.architecture": "qwen2",
        "qwen2.block_count": 28,
        "qwen2.attention.head_count": 12,
        "qwen2.attention.head_count_kv": 2,
        "qwen2.embedding_length": 1536,
    }
    assert context_bytes(metadata) == 28 * 2 * (128 + 128) * 2
    assert context_bytes({}) == 0
