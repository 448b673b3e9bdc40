"""In which order a model's folder is read, and what is said of files and folders that are closed.

Tests may run as root, whom no permission stops: there the system's refusals are played.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from server.preload.errors import NothingToPreload
from server.preload.plan import find_files, look
from server.preload.preload import PreloadOptions, preload
from tests.server.preload.cold_files import MIB, missing, write_cold

NOTHING_KEPT = PreloadOptions(threads=2, keep_free_bytes=0)
INDEX = "model.safetensors.index.json"
SHARDS = ("model-1.safetensors", "model-2.safetensors")


def fill(folder: Path, sizes: dict[str, int]) -> None:
    for name, size in sizes.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * size)


def index(path: Path, names: tuple[str, ...]) -> None:
    weights = {f"layer.{n}": name for n, name in enumerate(names)}
    path.write_bytes(orjson.dumps({"weight_map": weights}))


def order(folder: Path) -> list[str]:
    return [str(file.relative_to(folder)) for file in find_files(folder)]


def test_what_the_index_names_is_read_first_and_other_copies_last(tmp_path: Path) -> None:
    """As a snapshot of gpt-oss is: two copies in other formats beside the shards."""
    other = {"metal/model.bin": 4000, "original/a.safetensors": 3000, "other.safetensors": 2000}
    fill(tmp_path, {**other, SHARDS[0]: 10, SHARDS[1]: 20, "config.json": 2})
    index(tmp_path / INDEX, SHARDS)
    index(tmp_path / "original" / INDEX, ("a.safetensors",))
    assert order(tmp_path) == [
        *reversed(SHARDS),
        "other.safetensors",
        INDEX,
        "config.json",
        "metal/model.bin",
        "original/a.safetensors",
        f"original/{INDEX}",
    ]


@pytest.mark.parametrize("broken", [None, b"{}", b"["])
def test_without_an_index_the_weights_at_the_top_are_read_first(
    tmp_path: Path, broken: bytes | None
) -> None:
    fill(tmp_path, {"original/a.pth": 4000, "tokenizer.json": 3000, "a.gguf": 10, "b.gguf": 20})
    if broken is not None:
        (tmp_path / INDEX).write_bytes(broken)
    assert order(tmp_path)[:3] == ["b.gguf", "a.gguf", "tokenizer.json"]
    assert order(tmp_path)[-1] == "original/a.pth"


@pytest.mark.parametrize("above", ["", "transformers/default/1", "models--a--b/snapshots/0f"])
def test_the_top_is_where_the_model_stands(tmp_path: Path, above: str) -> None:
    """A hub's cache has the same files as blobs without their names, less deep."""
    blobs, model = tmp_path / "models--a--b/blobs", tmp_path / above
    fill(blobs, {"01": 10, "02": 20, "03": 4000})
    (model / "original").mkdir(parents=True)
    for name, blob in zip((*SHARDS, "original/a.safetensors"), ("01", "02", "03"), strict=True):
        (model / name).symlink_to(blobs / blob)
    index(model / INDEX, SHARDS)
    *top, copy = find_files(tmp_path)
    assert top == [model / SHARDS[1], model / SHARDS[0], model / INDEX]
    assert copy.samefile(model / "original/a.safetensors")


def test_folders_without_weights_are_read_by_size(tmp_path: Path) -> None:
    fill(tmp_path, {"a.json": 1, "deep/b.txt": 3, "c.model": 2})
    assert order(tmp_path) == ["deep/b.txt", "c.model", "a.json"]


@pytest.fixture
def close(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Play a folder that may not be listed, nor anything in it be looked at."""

    def play(closed: Path) -> None:
        real_stat, real_scan = Path.stat, os.scandir

        def refusing_stat(path: Path, **named: bool) -> os.stat_result:
            follow = named.get("follow_symlinks", True)
            if closed in Path(os.path.realpath(path if follow else path.parent), "-").parents:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return real_stat(path, **named)

        def refusing_scan(path: "os.PathLike[str] | str") -> object:
            if Path(path) == closed:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return real_scan(path)

        monkeypatch.setattr(Path, "stat", refusing_stat)
        monkeypatch.setattr(os, "scandir", refusing_scan)

    return play


async def test_a_link_into_a_closed_folder_is_named_and_the_others_are_read(
    tmp_path: Path, close: Callable[[Path], None]
) -> None:
    vault, model = tmp_path / "vault", tmp_path / "model"
    fill(vault, {"secret": 10})
    good = write_cold(model / "a.safetensors", MIB)
    (model / "w.safetensors").symlink_to(vault / "secret")
    close(vault)
    state = await preload(model, NOTHING_KEPT)
    assert missing(good) == 0
    assert state.failed == (f"{model / 'w.safetensors'}: Permission denied",)


async def test_a_closed_folder_is_named_and_the_others_are_read(
    tmp_path: Path, close: Callable[[Path], None]
) -> None:
    fill(tmp_path, {"deep/a.safetensors": 10})
    good = write_cold(tmp_path / "a.safetensors", MIB)
    close(tmp_path / "deep")
    state = await preload(tmp_path, NOTHING_KEPT)
    assert missing(good) == 0
    assert state.failed == (f"{tmp_path / 'deep'}: Permission denied",)


def test_a_model_of_which_everything_is_closed_is_not_called_empty(
    tmp_path: Path, close: Callable[[Path], None]
) -> None:
    fill(tmp_path, {"deep/a.safetensors": 10})
    close(tmp_path / "deep")
    with pytest.raises(NothingToPreload, match="deep: must be readable: Permission denied"):
        find_files(tmp_path)


def test_a_part_that_is_closed_is_named_and_the_others_are_read(
    tmp_path: Path, close: Callable[[Path], None]
) -> None:
    vault, names = tmp_path / "vault", [f"a-0000{n}-of-00002.gguf" for n in (1, 2)]
    fill(vault, {"secret": 10})
    fill(tmp_path, {names[0]: 10})
    (tmp_path / names[1]).symlink_to(vault / "secret")
    close(vault)
    found = look(tmp_path / names[0])
    assert found.files == [tmp_path / names[0]]
    assert found.failed == [f"{tmp_path / names[1]}: Permission denied"]
