"""Trackers: through their own packages where these are installed, else by their protocol."""

import importlib
import importlib.util
import json
import sqlite3
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.evaluation.commands import app
from server.evaluation.errors import TrackerUnavailable
from server.evaluation.report import Report
from server.evaluation.section import Section
from server.evaluation.trackers import MODULES, TRACKERS, figures, track

#: A package with the three functions that wandb and trackio share; it writes down their calls.
DOUBLE = """
import json, pathlib
calls = pathlib.Path(__file__).with_suffix(".calls")
def note(*call):
    with calls.open("a") as file:
        file.write(json.dumps(call) + "\\n")
def init(*, project, name):
    if name == "refused":
        raise Exception("no key is configured")
    note("init", project, name)
def log(values):
    note("log", values)
    if "broken/loss" in values:
        raise ConnectionError("the tracker is gone")
def finish():
    note("finish")
"""
WANTED = {"summary/one/single/mean": 0.5, "summary/one/single/low": 0.25,
          "summary/one/single/high": 0.75, "summary/one/attempts": 8.0}  # fmt: skip


def report(title: str = "An evaluation", name: str = "summary") -> Report:
    data = {"one": {"single": [0.5, 0.25, 0.75], "attempts": 8, "model": "m", "none": None,
                    "flag": True}}  # fmt: skip
    values = {"loss": 1.0} if name == "broken" else data
    return Report(
        title=title, notes=(), sections=(Section(name=name, title="t", tables=(), data=values),)
    )


def test_every_figure_has_a_path() -> None:
    assert dict(figures(report())) == WANTED


@pytest.fixture(params=["wandb", "trackio"])
def double(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Path]]:
    name = str(request.param)
    (tmp_path / f"{name}.py").write_text(DOUBLE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    yield name, tmp_path / f"{name}.calls"
    sys.modules.pop(name, None)


def test_a_run_is_begun_logged_and_ended(double: tuple[str, Path], tmp_path: Path) -> None:
    name, calls = double
    track(report(), [name], tmp_path)
    told = [json.loads(line) for line in calls.read_text().splitlines()]
    assert told == [["init", "quorum-eval", "An evaluation"], ["log", WANTED], ["finish"]]


def test_what_a_tracker_raises_is_one_sentence(double: tuple[str, Path], tmp_path: Path) -> None:
    name, calls = double
    with pytest.raises(TrackerUnavailable, match="no key is configured; log in"):
        track(report("refused"), [name], tmp_path)
    with pytest.raises(TrackerUnavailable, match="the tracker is gone"):
        track(report(name="broken"), [name], tmp_path)
    assert json.loads(calls.read_text().splitlines()[-1]) == ["finish"]


def test_trackers_that_there_are_not_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TrackerUnavailable, match="must be one of"):
        track(report(), ["paper"], tmp_path)
    for name, modules in MODULES.items():
        for module in modules:
            # What makes an import fail as that of a package which is not installed.
            monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(TrackerUnavailable, match="pip install"):
            track(report(), [name], tmp_path)
        # Before the first solve: there would be no other report of hours of them.
        for command in (["run", "--set", "absent"], ["rescore", str(tmp_path)]):
            result = CliRunner().invoke(app, [*command, "--track", name])
            assert isinstance(result.exception, TrackerUnavailable)
    assert set(MODULES) == set(TRACKERS)


def installed(module: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(module) is None
    reason = f"needs {module}: pip install quorum-aimo[trackers]"
    return pytest.mark.skipif(missing, reason=reason)


@installed("tensorboardX")
def test_tensorboard_itself(tmp_path: Path) -> None:
    track(report(), ["tensorboard"], tmp_path)
    (events,) = (tmp_path / "tensorboard").glob("events.out.tfevents.*")
    assert dict(scalars(events.read_bytes())) == WANTED


def scalars(content: bytes) -> Iterator[tuple[str, float]]:
    """Yield the scalars of a file of TensorBoard: records of a length, its sum, an event, a sum."""
    event_of = importlib.import_module("tensorboardX.proto.event_pb2").Event.FromString
    place = 0
    while place < len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        event = event_of(content[place + 12 : place + 12 + length])
        place += 12 + length + 4
        for value in event.summary.value:
            if value.HasField("simple_value"):
                yield value.tag, value.simple_value


@installed("wandb")
def test_wandb_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.chdir(tmp_path)
    track(report(), ["wandb"], tmp_path)
    (record,) = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    content = record.read_bytes()
    assert b"summary/one/single/mean" in content
    assert b"quorum-eval" in content


@installed("trackio")
def test_trackio_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    track(report(), ["trackio"], tmp_path)
    (database,) = tmp_path.glob("*.db")
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT metrics FROM metrics").fetchall()
    assert "summary/one/single/mean" in str(rows[0][0])
