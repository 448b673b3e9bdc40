"""The settings of the first cell."""

import json
from pathlib import Path

import numpy as np
import pytest

from kaggle_notebook.errors import SettingsError
from kaggle_notebook.settings import (
    COMMIT_PATIENCE_S,
    ENVIRONMENT,
    RERUN,
    Mode,
    read_settings,
    settings_dict,
)

CIRCLE: dict[str, object] = {}
CIRCLE["again"] = CIRCLE


def test_they_are_read_and_written_back() -> None:
    given = {"mode": "first-boxed", "limit_s": 100, "server": {"solve.attempts": 2}}
    settings = read_settings(given)
    assert settings.mode is Mode.FIRST_BOXED
    assert settings.usable_s == 99.0
    assert read_settings(settings_dict(settings)) == settings


def test_the_environment_goes_over_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, '{"mode": "timing", "data": "a.csv"}')
    settings = read_settings({"mode": "full", "problems": 3})
    assert (settings.mode, settings.problems, settings.data) == (Mode.TIMING, 3, ("a.csv",))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"modes": "full"}, "modes: no such setting"),
        ({"mode": "fast"}, "mode 'fast': must be one of full"),
        ({"problems": "50"}, "problems '50': must be of type int"),
        ({"problems": True}, "problems True"),
        ({"problems": 0}, "problems 0: must be finite and at least 1"),
        ({"limit_s": float("nan")}, "limit_s nan"),
        ({"margin_s": 20_000}, "margin_s 20000: must be less than limit_s"),
        ({"default_answer": 100_000}, "default_answer 100000"),
        ({"limit_s": 10**400}, "limit_s 1000"),
        ({"limit_s": 10**5000}, "limit_s of very many digits"),
        ({"folder": "a\0b"}, "folder 'a\\x00b': must be text without NUL"),
        ({"data": ["a\0b"]}, "data 'a\\x00b'"),
        ({"solve": {"seed": {1}}}, "solve.seed {1}: must be text"),
        ({"solve": {"stop": [object]}}, "solve.stop <class 'object'>"),
        ({"solve": {"temperature": float("inf")}}, "solve.temperature inf"),
        ({"server": {5: 3}}, "server {5: 3}"),
        ({"server": CIRCLE}, "nested too deeply"),
    ],
)
def test_a_wrong_one_is_refused_in_a_sentence(given: dict[str, object], says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_settings(given)
    assert says in str(refused.value)


def test_paths_and_numbers_of_libraries_are_taken_as_what_they_say() -> None:
    given = {
        "problems": np.int64(3),
        "limit_s": np.float32(100),
        "folder": Path("/f"),
        "server": {"engine.model": Path("/m"), "solve.attempts": np.int32(8)},
        "solve": {"seed": np.uint64(2**64 - 1), "stop": (Path("/x"), [np.int8(1)])},
    }
    settings = read_settings(given)
    assert settings.server == {"engine.model": "/m", "solve.attempts": 8}
    assert settings.solve == {"seed": 2**64 - 1, "stop": ["/x", [1]]}
    assert (settings.problems, settings.limit_s, settings.folder) == (3, 100.0, "/f")
    assert read_settings(json.loads(json.dumps(settings_dict(settings)))) == settings


@pytest.mark.parametrize("text", ["{", "[]", "3", "[" * 100_000])
def test_an_environment_that_is_no_object_is_refused(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(ENVIRONMENT, text)
    with pytest.raises(SettingsError):
        read_settings()


def test_the_run_that_counts_waits_longer_for_a_server_that_gave_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Defaults given at once would be final, and the server may come back."""
    settings = read_settings({})
    monkeypatch.delenv(RERUN, raising=False)
    assert settings.patience_s(356.0, begun=False) == COMMIT_PATIENCE_S
    monkeypatch.setenv(RERUN, "1")
    assert settings.patience_s(356.0, begun=False) == 3 * 356.0
    # The problem itself may be what ends the server.
    assert settings.patience_s(356.0, begun=True) == 356.0
    assert read_settings({"failed_wait_s": 5}).patience_s(356.0, begun=False) == 5
