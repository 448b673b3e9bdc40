"""The second cell: one summary, and settings that are complete."""

import hashlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from kaggle_notebook.build.checks import Finding, Verdict, summary
from kaggle_notebook.build.prepare import FINDINGS, GPU_DEFAULTS, prepare
from kaggle_notebook.bundle.manifest import BundleFile, Kind, Manifest, Target, target_name
from kaggle_notebook.errors import InputError
from kaggle_notebook.settings import RERUN, read_settings
from tests.kaggle_notebook.inputs import make_hub_model

#: How a manifest begins.
BUNDLE = '{"format": "quorum-bundle", "version": 1'


@pytest.fixture
def folder(tmp_path: Path) -> dict[str, Any]:
    """Settings with a folder of their own."""
    return {"folder": str(tmp_path / "session")}


def put_bundle(folder: Path, python: str, text: str = "bytes") -> Path:
    (folder / "wheels").mkdir(parents=True)
    (folder / "wheels" / "a.whl").write_text(text)
    file = BundleFile("wheels/a.whl", Kind.WHEEL, 5, "0" * 64)
    manifest = Manifest("0.1.0", (), "any", {python: Target({})}, (file,))
    (folder / "manifest.json").write_text(manifest.text())
    return folder


def test_model_and_install_are_filled_in_and_the_cell_goes_over_them(
    tmp_path: Path, folder: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    model = make_hub_model(tmp_path / "input" / "m")
    bundle = put_bundle(tmp_path / "input" / "b", target_name())
    given = {**folder, "server": {"solve.attempts": 16, "journal.path": Path("/j")}}
    prepared = prepare(bundle, given, inputs=tmp_path / "input")
    server = prepared.settings["server"]
    assert server["engine.kind"] == "sglang"
    assert server["engine.model"] == str(model)
    assert server["solve.attempts"] == 16
    assert server["solve.agree"] == GPU_DEFAULTS["solve.agree"]
    assert str(bundle) in prepared.settings["install"]
    assert json.loads(prepared.settings["install"][-1]) == server
    assert given["server"] == {"solve.attempts": 16, "journal.path": Path("/j")}
    read_settings(prepared.settings)
    shown = capsys.readouterr().out
    assert f"model    ok       {model}" in shown
    assert "bundle   ok" in shown
    kept = json.loads((tmp_path / "session" / FINDINGS).read_text())
    assert {"subject": "model", "verdict": "ok"}.items() <= kept[-1].items()


def test_an_output_that_is_closed_refuses_nothing(
    tmp_path: Path, folder: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    monkeypatch.setenv(RERUN, "1")
    assert prepare(None, folder, inputs=tmp_path).settings["folder"] == folder["folder"]


def test_a_run_that_does_not_count_is_refused_what_it_lacks(
    tmp_path: Path, folder: dict[str, Any]
) -> None:
    bundle = put_bundle(tmp_path / "b", target_name(), "byt")
    with pytest.raises(
        InputError, match=r"a\.whl is truncated \(3 of 5 bytes\); model: .*no weights"
    ):
        prepare(bundle, folder, inputs=tmp_path)


def test_the_run_that_counts_goes_on_without_a_model(
    tmp_path: Path, folder: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RERUN, "1")
    bundle = put_bundle(tmp_path / "b", target_name())
    prepared = prepare(bundle, folder, inputs=tmp_path)
    assert prepared.settings["install"][-1] == str(bundle), "no doctor: the clock runs"
    assert not prepared.whole
    assert "engine.model" not in prepared.settings["server"]


@pytest.mark.parametrize(
    "text",
    [
        BUNDLE + "}",
        BUNDLE + ', "targets": ' + "[" * 200_000,
        BUNDLE + ', "targets": {}, "files": [{"path": "a", "kind": "wheel", "size_bytes": 1e400}]}',
        BUNDLE + ', "targets": {"3": {"lock": {}, "adds": [], "replaces": {"a": []}}}}',
    ],
)
def test_the_run_that_counts_goes_on_with_a_manifest_that_is_damaged(
    tmp_path: Path, folder: dict[str, Any], monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    make_hub_model(tmp_path / "m")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "manifest.json").write_text(text)
    monkeypatch.setenv(RERUN, "1")
    prepared = prepare(tmp_path / "b", folder, inputs=tmp_path)
    assert prepared.settings["server"]["engine.model"] == str(tmp_path / "m")
    assert not prepared.whole
    monkeypatch.delenv(RERUN)
    with pytest.raises(InputError, match="cannot be read as a bundle's manifest"):
        prepare(tmp_path / "b", folder, inputs=tmp_path)


def test_another_python_than_the_bundles_is_told(tmp_path: Path, folder: dict[str, Any]) -> None:
    make_hub_model(tmp_path / "m")
    with pytest.raises(InputError, match=r"is for Python 3\.0, not 3\."):
        prepare(put_bundle(tmp_path / "b", "3.0"), folder, inputs=tmp_path)


@pytest.mark.parametrize(
    "settings",
    [
        {"mode": "timing"},
        {"server": {"engine.kind": "openai", "engine.urls": "http://127.0.0.1:1"}},
        {"server": {"engine.model": "/x"}},
        {"command": ["serve"]},
    ],
)
def test_no_model_is_looked_for_where_none_is_needed(
    tmp_path: Path, folder: dict[str, Any], settings: dict[str, Any]
) -> None:
    prepared = prepare(None, {**folder, **settings}, inputs=tmp_path / "nothing")
    assert prepared.whole


def test_a_vocabulary_of_the_bundle_joins_a_model_that_has_none(
    tmp_path: Path, folder: dict[str, Any]
) -> None:
    model = make_hub_model(tmp_path / "input" / "m")
    (model / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"has no tokenizer\.json"):
        prepare(None, folder, inputs=tmp_path / "input")
    bundle = tmp_path / "bundle"
    (bundle / "vocabulary").mkdir(parents=True)
    (bundle / "vocabulary" / "o200k_base.tiktoken").write_text("IQ== 0\n")
    digest = "0" * 64
    file = BundleFile("vocabulary/o200k_base.tiktoken", Kind.VOCABULARY, 7, digest)
    manifest = Manifest("0.1.0", (), "any", {target_name(): Target({})}, (file,))
    (bundle / "manifest.json").write_text(manifest.text())
    with pytest.raises(InputError, match="no tokenizer"):  # other bytes than the manifest says
        prepare(bundle, folder, inputs=tmp_path / "input")
    right = hashlib.sha256(b"IQ== 0\n").hexdigest()
    (bundle / "manifest.json").write_text(manifest.text().replace(digest, right))
    prepared = prepare(bundle, folder, inputs=tmp_path / "input")
    joined = Path(prepared.settings["server"]["engine.model"])
    assert (joined / "o200k_base.tiktoken").read_text() == "IQ== 0\n"
    assert (joined / "config.json").read_bytes() == (model / "config.json").read_bytes()


def test_the_summary_is_a_table() -> None:
    rows = [Finding("model", Verdict.OK, "here"), Finding("GPU", Verdict.NOTE, "none", "get one")]
    assert summary(rows) == "model  ok       here\nGPU    note     none; get one"
