"""Settings: where they come from, and what is refused."""

import os
import re
from pathlib import Path

import pytest

from server.errors import SettingsError
from server.settings import OTHER_VARIABLES, Setting, Settings, declared, load_settings

#: What a description must say of a number: its unit, or what is counted.
UNITS = re.compile(
    r"second|days|bytes|MiB|tokens?|characters|attempts?|turns|threads|layers|kernels|restarts|solves|"
    r"port|temperature|sampling|answers|share|hours|requests|times|chance|%"
)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start from no variable and from a folder without a file."""
    for name in list(os.environ):
        if name.upper().startswith("QUORUM_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write_file(text: str, name: str = "quorum.toml") -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def test_without_sources_the_defaults_hold() -> None:
    assert load_settings() == Settings()


def test_later_sources_win_name_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    write_file("[solve]\nattempts = 2\nagree = 2\nmax_turns = 2\n[gateway]\nport = 2\n")
    monkeypatch.setenv("QUORUM_SOLVE_AGREE", "3")
    monkeypatch.setenv("QUORUM_SOLVE_MAX_TURNS", "3")
    settings = load_settings({"solve.max_turns": "4"})
    assert (settings.solve.attempts, settings.solve.agree, settings.solve.max_turns) == (2, 3, 4)
    assert settings.gateway.port == 2
    assert settings.solve.temperature == Settings().solve.temperature


def test_a_file_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    write_file("[gateway]\nport = 1\n")
    monkeypatch.setenv("QUORUM_CONFIG", str(write_file("[gateway]\nport = 2\n", "other.toml")))
    assert load_settings().gateway.port == 2


def test_a_named_file_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORUM_CONFIG", "nowhere.toml")
    with pytest.raises(SettingsError, match=r"nowhere\.toml: no such file.*QUORUM_CONFIG"):
        load_settings()


@pytest.mark.parametrize("setting", list(declared()), ids=lambda setting: setting.dotted)
def test_each_setting_is_described_and_read_from_its_variable(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    field = setting.field
    assert field.description
    if field.annotation in (int, float):
        assert UNITS.search(field.description), f"{setting.dotted}: of what unit?"
    monkeypatch.setenv(setting.variable, str(field.default))
    assert load_settings() == Settings()
    flags = {setting.dotted: str(field.default)}
    assert load_settings(flags) == Settings()
    assert setting.flag == "--" + setting.dotted.replace(".", "-").replace("_", "-")


def test_a_file_may_begin_with_a_byte_order_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("quorum.toml").write_text("[gateway]\nport = 9001\n", encoding="utf-8-sig")
    assert load_settings().gateway.port == 9001


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (
            "QUORUM_SANDBOX_KERNELS",
            "0",
            "equal to 1 (most kernels at once); set QUORUM_SANDBOX_KERNELS or --sandbox-kernels",
        ),
        ("QUORUM_GATEWAY_PORT", "many", "gateway.port 'many': input should be a valid integer"),
        ("QUORUM_GATEWAY_PORT", "", "gateway.port '': "),
        ("QUORUM_SOLVE_TIME_LIMIT_S", "nan", "solve.time_limit_s"),
        ("QUORUM_SOLVE_TIME_LIMIT_S", "inf", "solve.time_limit_s"),
        ("QUORUM_SOLVE_TOP_P", "1.1", "solve.top_p '1.1': "),
        (
            "QUORUM_LOG_LEVEL",
            "loud",
            "log.level 'loud': must be one of debug, info, warning, error",
        ),
        ("QUORUM_RUNS_BUDGET", "luck", "runs.budget 'luck': must be written as here (how a run's"),
        ("QUORUM_RUNS_BUDGET", "fixed(-1)", "runs.budget 'fixed(-1)': "),
        ("QUORUM_RUNS_BUDGET", "greedy(5, -3)", "runs.budget 'greedy(5, -3)': "),
        ("QUORUM_RUNS_BUDGET", "adaptive(shelf=1)", "runs.budget 'adaptive(shelf=1)': "),
        ("QUORUM_JOURNAL_PATH", "", "journal.path '': must name a file (the journal's file; "),
        ("QUORUM_JOURNAL_PATH", "..", "journal.path '..': must name a file"),
        ("QUORUM_JOURNAL_FALLBACK", "", "journal.fallback '': must name a file"),
        ("QUORUM_PAGE_LABELS", "/", "page.labels '/': must name a file"),
        ("QUORUM_SOLVE_STRATEGY", "luck", "solve.strategy 'luck': must be one of greedy, "),
        ("QUORUM_SOLVE_FIRST_GREEDY", "perhaps", "solve.first_greedy 'perhaps': "),
    ],
)
def test_a_malformed_value_is_refused_with_a_sentence(
    variable: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=re.escape(sentence)) as caught:
        load_settings()
    assert variable in str(caught.value)


def test_all_malformed_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORUM_SANDBOX_KERNELS", "0")
    with pytest.raises(SettingsError, match=r"sandbox\.kernels") as caught:
        load_settings({"solve.attempts": 0})
    assert "solve.attempts 0" in str(caught.value)


@pytest.mark.parametrize("name", ["QUORUM_SOLVE_ATEMPTS", "QUORUM_NOTHING", "quorum_solve_x"])
def test_an_unknown_variable_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError, match=f"{name.upper()}: no such setting"):
        load_settings()


def test_variables_of_others_are_not_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OTHER_VARIABLES - {"QUORUM_CONFIG"}:
        monkeypatch.setenv(name, "x")
    assert load_settings() == Settings()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[solve]\natempts = 1\n", "solve.atempts: no such setting"),
        ("[sandboxes]\nkernels = 1\n", "sandboxes: no such setting"),
        ("[solve]\nattempts = 'x'\n", "solve.attempts 'x'"),
        ("[solve\n", "quorum.toml: not a readable TOML file"),
        ("[solve]\nattempts = true\n", "solve.attempts True: must be a number"),
        ("[solve]\ntime_limit_s = false\n", "solve.time_limit_s False: must be a number"),
        ("solve = 3\n", "solve 3: must be a table, such as [solve]"),
        ("[[solve]]\nattempts = 1\n", "must be a table, such as [solve]"),
        ("engines = 3\n", "engines 3: must be a table, such as [engines]"),
        ("[engines]\nx = 3\n", "engines.x 3: must be a table, such as [engines.x]"),
    ],
)
def test_a_wrong_file_is_refused_with_a_sentence(text: str, problem: str) -> None:
    write_file(text)
    with pytest.raises(SettingsError, match=re.escape(problem)):
        load_settings()


@pytest.mark.parametrize("text", ["solve = 3\n", "[[solve]]\nattempts = 1\n"])
def test_a_section_that_is_no_table_is_refused_whatever_flags_say(text: str) -> None:
    write_file(text)
    with pytest.raises(SettingsError, match=re.escape("must be a table, such as [solve]")):
        load_settings({"solve.attempts": 2})


def test_a_file_that_is_no_text_is_refused() -> None:
    Path("quorum.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="not a readable TOML file"):
        load_settings()


def test_a_folder_in_the_files_place_is_refused() -> None:
    Path("quorum.toml").mkdir()
    with pytest.raises(SettingsError, match="not a readable TOML file"):
        load_settings()


def test_derived_values() -> None:
    settings = load_settings({"engine.slots": 0, "solve.attempts": 7, "engine.threads": 3})
    assert settings.engine_slots == 7
    assert settings.engine_threads == 3
    assert load_settings({"engine.slots": 2}).engine_slots == 2
    assert load_settings({"engine.threads": 0}).engine_threads >= 1
