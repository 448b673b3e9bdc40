"""Finding weights, and trusting files."""

import os
from pathlib import Path

import pytest

from server.weights import (
    DEFAULT,
    CacheUnusable,
    UnknownModel,
    WeightsDamaged,
    WeightsMissing,
    model_name,
    resolve,
    weights_folder,
)
from tests.server.weights.conftest import CONTENT, KNOWN, WEIGHTS


@pytest.fixture
def cached(folder: Path) -> Path:
    """Return a good file in the cache, never checked so far."""
    folder.mkdir(parents=True)
    path = folder / WEIGHTS.file_name
    path.write_bytes(CONTENT)
    return path


def test_a_known_name_is_its_file_in_the_cache(cached: Path) -> None:
    assert resolve("tiny", folder=cached.parent, known=KNOWN) == cached


def test_missing_weights_say_how_to_get_them(folder: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"not in .*; fetch them once with `quorum weights pu"):
        resolve("tiny", folder=folder, known=KNOWN)


def test_a_short_file_is_refused(cached: Path) -> None:
    cached.write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsDamaged, match=r"holds 132,071 bytes where 132,072 are published"):
        resolve("tiny", folder=cached.parent, known=KNOWN)


def test_a_changed_file_is_refused(cached: Path) -> None:
    resolve("tiny", folder=cached.parent, known=KNOWN)
    cached.write_bytes(b"\0" * len(CONTENT))
    os.utime(cached, ns=(1, 1))
    with pytest.raises(WeightsDamaged, match=r"has sha256 .*; run `quorum weights pull tiny`"):
        resolve("tiny", folder=cached.parent, known=KNOWN)


def test_an_unchanged_file_is_not_read_again(cached: Path) -> None:
    resolve("tiny", folder=cached.parent, known=KNOWN)
    state = cached.stat()
    # Only a reader could tell these bytes from the ones that were checked.
    cached.write_bytes(b"\0" * len(CONTENT))
    os.utime(cached, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert resolve("tiny", folder=cached.parent, known=KNOWN) == cached


def test_a_damaged_record_means_checking_anew(cached: Path) -> None:
    resolve("tiny", folder=cached.parent, known=KNOWN)
    (record,) = cached.parent.glob("*.verified")
    record.write_bytes(b"{")
    assert resolve("tiny", folder=cached.parent, known=KNOWN) == cached


def test_a_path_is_itself(tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(b"GGUF and more")
    assert resolve(str(own), known=KNOWN) == own
    assert resolve(str(tmp_path), known=KNOWN) == tmp_path


def test_a_file_that_only_claims_to_be_gguf_is_refused(tmp_path: Path) -> None:
    pointer = tmp_path / "pointer.gguf"
    pointer.write_bytes(b"version https://git-lfs")
    with pytest.raises(WeightsDamaged, match="not a GGUF file; fetch it again"):
        resolve(str(pointer), known=KNOWN)


@pytest.mark.parametrize("model", ["", "no-such-model", "/no/such/file.gguf"])
def test_anything_else_is_refused(model: str) -> None:
    with pytest.raises(UnknownModel, match=r"neither a file nor a known name; .* one of tiny"):
        resolve(model, known=KNOWN)


def test_the_cache_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORUM_CACHE", str(tmp_path))
    assert weights_folder() == tmp_path / "weights"
    monkeypatch.delenv("QUORUM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert weights_folder() == tmp_path / "xdg" / "quorum" / "weights"


def test_the_default_weights_are_whole_parts() -> None:
    assert DEFAULT.parts is not None
    assert -(-DEFAULT.size_bytes // DEFAULT.parts.part_bytes) == 22


@pytest.mark.parametrize("name", ["~no-such-user/a.gguf", "a" * 300, "a\0b", ""])
def test_what_no_file_can_be_named_is_an_unknown_model(name: str) -> None:
    with pytest.raises(UnknownModel, match=r"neither a file nor a known name; give a path or"):
        resolve(name, known=KNOWN)


def test_a_cache_in_nobodys_home_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORUM_CACHE", "~no-such-user/cache")
    with pytest.raises(CacheUnusable, match=r"QUORUM_CACHE ~no-such-user/cache: .*; set it to a"):
        weights_folder()


@pytest.mark.parametrize(
    ("made", "name"),
    [
        ("Qwen2.5-Coder-1.5B-Instruct/", "Qwen2.5-Coder-1.5B-Instruct"),
        ("qwen2.5-coder-1.5b.gguf", "qwen2.5-coder-1.5b"),
        ("o200k_base.tiktoken", "o200k_base"),
        ("gpt-oss-120b/transformers/default/1/", "gpt-oss-120b"),
        ("gpt-oss/Transformers/gpt-oss-20b/3/", "gpt-oss-20b"),
        (f"models--openai--gpt-oss-120b/snapshots/{'0f' * 20}/", "gpt-oss-120b"),
    ],
)
def test_a_model_is_called_by_its_folder_or_file(tmp_path: Path, made: str, name: str) -> None:
    path = tmp_path / made
    if made.endswith("/"):
        path.mkdir(parents=True)
    else:
        path.touch()
    assert model_name(path) == name


def test_a_model_in_the_working_folder_is_called_by_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "QwQ-32B").mkdir()
    monkeypatch.chdir(tmp_path / "QwQ-32B")
    assert model_name(Path()) == "QwQ-32B"
