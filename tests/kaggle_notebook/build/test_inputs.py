"""Bundles and models are found wherever they are mounted; what is unclear is told with a list."""

import errno
import json
import shutil
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from kaggle_notebook.build import locate
from kaggle_notebook.build.gguf import read_layout
from kaggle_notebook.build.locate import FORMAT, MANIFEST, add_code, find_bundle, folders_below
from kaggle_notebook.build.models import choose_model, find_models
from kaggle_notebook.errors import InputError
from kaggle_notebook.settings import RERUN
from tests.kaggle_notebook.inputs import (
    EMPTY_GGUF,
    GGUF,
    PROJECT_CODE,
    WEIGHTS,
    make_hub_model,
    make_wheel,
)
from tests.server.engine.tiny_llama import write_tiny_llama

ROOT = Path(__file__).resolve().parents[3]
MOUNTS = ("quorum-bundle", "datasets/me/quorum-bundle", "a/b/c/d/e/f")


def put_bundle(folder: Path, release: str = "0.1.0") -> Path:
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(json.dumps({"format": FORMAT, "release": release}))
    make_wheel(folder / "wheels", "quorum-aimo", release, code=PROJECT_CODE)
    return folder


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_bundle_is_found_at_any_mount(tmp_path: Path, mount: str) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / MANIFEST).write_text('{"format": "web app"}')
    assert find_bundle(tmp_path) is None
    assert find_bundle(put_bundle(tmp_path / mount).parent.parent) == tmp_path / mount


def test_the_same_bundle_twice_is_no_question_but_another_is(tmp_path: Path) -> None:
    first = put_bundle(tmp_path / "a")
    shutil.copytree(first, tmp_path / "b")
    assert find_bundle(tmp_path) == first
    put_bundle(tmp_path / "c", "0.2.0")
    with pytest.raises(LookupError, match=rf"several bundles \({first}, .*c\); detach all but one"):
        find_bundle(tmp_path)


def test_the_run_that_counts_goes_on_with_one_of_several_bundles_that_has_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        put_bundle(tmp_path / name, f"0.1.{ord(name)}")
    shutil.rmtree(tmp_path / "a" / "wheels")
    monkeypatch.setenv(RERUN, "1")
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert add_code(tmp_path) == tmp_path / "b"


@pytest.mark.parametrize("text", ["[" * 200_000, '{"format": ' + "[" * 200_000, "\xff", ""])
def test_files_of_other_data_sets_that_cannot_be_read_are_passed_over(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "other").mkdir()
    for name in (MANIFEST, "config.json", "model.safetensors.index.json", "a.safetensors"):
        (tmp_path / "other" / name).write_text(text)
    assert find_bundle(tmp_path) is None
    assert find_models(tmp_path) == []
    assert find_bundle(put_bundle(tmp_path / "mine")) == tmp_path / "mine"


@pytest.mark.parametrize("form", ["wheel", "unpacked", "flat"])
def test_the_code_is_put_on_the_path_in_each_form_an_upload_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    bundle = put_bundle(tmp_path / "input" / "x")
    wheel = next(bundle.rglob("*.whl"))
    if form == "unpacked":
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(bundle / "wheels" / wheel.stem)
        wheel.unlink()
    elif form == "flat":
        wheel.rename(bundle / wheel.name)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert add_code(tmp_path / "input") == bundle
    assert "the bundle" in (Path(sys.path[0]) / "kaggle_notebook" / "__init__.py").read_text()


def test_where_nothing_can_be_unpacked_the_wheel_itself_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = next(put_bundle(tmp_path / "x").rglob("*.whl"))

    def full(**_options: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    monkeypatch.setattr(sys, "path", list(sys.path))
    add_code(tmp_path)
    assert sys.path[0] == str(wheel)


def test_a_damaged_wheel_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    wheel = next(put_bundle(tmp_path / "x").rglob("*.whl"))
    wheel.write_bytes(wheel.read_bytes()[:-100])
    with pytest.raises(LookupError, match=r"whl: is damaged \(.*\); upload the bundle again"):
        add_code(tmp_path)


def test_without_a_bundle_the_installed_project_is_used(tmp_path: Path) -> None:
    before = list(sys.path)
    assert add_code(tmp_path) is None
    assert sys.path == before


def test_a_python_that_is_too_old_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=" + ".".join(map(str, locate.OLDEST_PYTHON))
    monkeypatch.setattr(locate, "OLDEST_PYTHON", (3, 99))
    with pytest.raises(LookupError, match=r"Python 3\.\d+: Quorum needs 3\.99 or later; choose"):
        add_code(tmp_path)


def test_links_that_lead_back_end_the_walk(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "itself").symlink_to("itself")
    (tmp_path / "a" / "file").touch()
    assert list(folders_below(tmp_path)) == [(tmp_path, []), (tmp_path / "a", ["file"])]


def test_models_of_both_forms_are_found(tmp_path: Path) -> None:
    hub = make_hub_model(tmp_path / "models/me/gpt-oss/transformers/120b/1", shards=2)
    gguf = tmp_path / "qwen" / "small.gguf"
    gguf.parent.mkdir()
    gguf.write_bytes(GGUF)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "config.json").write_text('{"r": 8}')
    (tmp_path / "adapter" / "adapter.safetensors").write_bytes(b"")
    found = {model.path: model for model in find_models(tmp_path)}
    assert set(found) == {hub, gguf}
    assert found[hub].missing == ()
    assert found[hub].size_bytes == 2 * len(WEIGHTS)
    assert found[gguf].is_gguf
    assert found[gguf].damaged == ()


def test_several_models_are_listed_and_a_part_of_a_path_decides(tmp_path: Path) -> None:
    one, two = make_hub_model(tmp_path / "small"), make_hub_model(tmp_path / "large")
    models = find_models(tmp_path)
    with pytest.raises(InputError, match="not clear which model") as raised:
        choose_model(models)
    assert str(one) in str(raised.value)
    assert str(two) in str(raised.value)
    assert choose_model(models, "SMALL").path == one
    with pytest.raises(InputError, match="holds no weights of a model 'huge'"):
        choose_model(models, "huge")


def test_a_model_that_lacks_shards_is_not_taken_and_they_are_named(tmp_path: Path) -> None:
    make_hub_model(tmp_path / "broken", shards=3, missing=1)
    with pytest.raises(InputError, match=r"not whole: .*lacks model-00003-of-00003\.safetensors"):
        choose_model(find_models(tmp_path))
    whole = make_hub_model(tmp_path / "whole")
    assert choose_model(find_models(tmp_path)).path == whole


def test_a_split_gguf_is_opened_by_its_first_part(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        (tmp_path / f"big-{number:05}-of-00003.gguf").write_bytes(GGUF)
    # the first part may have the metadata alone
    (tmp_path / "big-00001-of-00003.gguf").write_bytes(EMPTY_GGUF)
    assert find_models(tmp_path)[0].damaged == ()
    assert [model.path.name for model in find_models(tmp_path)] == ["big-00001-of-00003.gguf"]
    (tmp_path / "big-00002-of-00003.gguf").unlink()
    (tmp_path / "big-00003-of-00003.gguf").write_bytes(GGUF[:-1])
    (found,) = find_models(tmp_path)
    assert found.missing == ("big-00002-of-00003.gguf",)
    assert found.damaged == ("big-00003-of-00003.gguf is cut (111 of 112 bytes)",)


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (GGUF[:-1], r"is cut \(111 of 112 bytes\)"),
        (GGUF[:50], r"is cut \(50 bytes, which end in its header\)"),
        (b"GGUF", r"is cut \(4 bytes"),
        (b"", "has no header of GGUF"),
        (bytes(200), "has no header of GGUF"),
        (EMPTY_GGUF + bytes(84), "has no tensors"),
    ],
)
def test_a_gguf_file_that_was_half_copied_is_told_and_not_chosen(
    tmp_path: Path, content: bytes, wrong: str
) -> None:
    (tmp_path / "cut.gguf").write_bytes(content)
    with pytest.raises(InputError, match=rf"not whole: .*, cut.gguf {wrong}"):
        choose_model(find_models(tmp_path))
    (tmp_path / "whole.gguf").write_bytes(GGUF)
    assert choose_model(find_models(tmp_path)).path.name == "whole.gguf"


@pytest.mark.parametrize("place", [4, 36, 71, 83])
def test_a_gguf_file_of_a_later_kind_is_left_to_the_engine(tmp_path: Path, place: int) -> None:
    """Its version, a type of its metadata, a tensor's dimensions or type are not known here."""
    (tmp_path / "later.gguf").write_bytes(GGUF[:place] + b"\x63" + GGUF[place + 1 :])
    assert choose_model(find_models(tmp_path)).damaged == ()


def test_what_llama_cpp_serves_is_whole_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_tiny_llama(path)
    layout = read_layout(path)
    assert layout is not None
    assert layout.size_bytes == path.stat().st_size


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (WEIGHTS[:-1], r"is cut \(75 of 76 bytes\)"),
        (WEIGHTS[:20], "has no header of safetensors"),
        (bytes(len(WEIGHTS)), "has no header of safetensors"),
        (b"", "has no header of safetensors"),
    ],
)
def test_weights_that_were_half_copied_are_told_and_not_chosen(
    tmp_path: Path, content: bytes, wrong: str
) -> None:
    cut = make_hub_model(tmp_path / "cut", shards=2)
    (cut / "another.safetensors").write_bytes(b"not of the model")
    (cut / "model-00002-of-00002.safetensors").write_bytes(content)
    with pytest.raises(
        InputError, match=rf"not whole: [^,]*, model-00002-of-00002.safetensors {wrong}\)"
    ):
        choose_model(find_models(tmp_path))
    whole = make_hub_model(tmp_path / "whole")
    assert choose_model(find_models(tmp_path)).path == whole
