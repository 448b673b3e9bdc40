"""Wheels come whole out of pieces, or not at all; needs no GPU."""

import random
import sys
import zipfile
from pathlib import Path

import pytest

from tests.gpu import carry


def write_wheel(folder: Path, name: str, size: int) -> None:
    folder.mkdir(exist_ok=True)
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", "WHOLE = True\n")
        wheel.writestr(f"{name}_data.bin", random.Random(name).randbytes(size))
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


def test_wheels_are_cut_carried_joined_and_installed(tmp_path: Path) -> None:
    wheels, pieces, store = tmp_path / "wheels", tmp_path / "pieces", tmp_path / "store"
    for name, size in (("small", 100), ("large", 25_000), ("other", 3_000)):
        write_wheel(wheels, name, size)
    count = carry.pack(wheels, pieces, 10_000)
    folders = sorted(pieces.iterdir())
    assert len(folders) == count >= 3
    for folder in folders:
        parts = [part for part in folder.iterdir() if part.name != carry.INDEX]
        assert sum(part.stat().st_size for part in parts) <= 10_000
    for folder in folders[:-1]:
        assert carry.keep(folder, store)
    with pytest.raises(ValueError, match="parts are missing"):
        carry.join(store, tmp_path / "joined")
    assert carry.keep(folders[-1], store) == []
    carry.install(store, tmp_path / "site")
    assert (tmp_path / "site" / "large_data.bin").stat().st_size == 25_000
    assert (tmp_path / "site" / "small.py").is_file()
    some = next(store.glob("large*.whl.000"))
    some.write_bytes(b"x" + some.read_bytes()[1:])
    with pytest.raises(ValueError, match=r"large.* is not what was packed"):
        carry.join(store, tmp_path / "joined")


def test_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_wheel(tmp_path / "wheels", "small", 10)
    for arguments in (["pack", "wheels", "pieces"], ["keep", "pieces/000", "store"]):
        paths = [str(tmp_path / name) for name in arguments[1:]]
        monkeypatch.setattr(sys, "argv", ["carry", arguments[0], *paths])
        carry.main()
    said = capsys.readouterr().out
    assert "1 pieces" in said
    assert "0 parts to come" in said
