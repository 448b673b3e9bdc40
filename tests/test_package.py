"""What is shipped: the wheel, the lock files, and nothing of the machine that they were made on."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"voting", "sandbox", "client", "server", "kaggle_notebook", "training"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCKS = {
    "core": [],
    "embedded": ["embedded", "build"],
    "dev": ["embedded", "plots", "kaggle", "build", "dev"],
    "plots": ["plots"],
    "kaggle": ["kaggle"],
    "train": ["train"],
    "trackers": ["trackers"],
    "eval": ["eval"],
    "sglang": ["sglang"],
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=50)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_the_six_packages_and_no_tests(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES


def test_the_wheel_holds_what_is_read_at_run_time(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    shipped = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped <= names
    assert any(name.endswith(".md") for name in shipped)


def test_the_command_and_its_parts_are_declared(wheel: zipfile.ZipFile) -> None:
    entry_points = next(n for n in wheel.namelist() if n.endswith("entry_points.txt"))
    text = wheel.read(entry_points).decode()
    for line in ("quorum = client.entry:main", "serve = server.commands.serve:serve"):
        assert line in text


def canonical(requirement: str) -> str:
    """Return the normalised name of a requirement (PEP 503)."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_every_dependency_with_hashes_and_names_no_index(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[A-Za-z0-9])", text.replace("\\\n", " "))
    pinned = {canonical(entry) for entry in entries if "==" in entry.split(";")[0]}
    wanted = [*PROJECT["dependencies"]]
    for extra in LOCKS[lock]:
        wanted += PROJECT["optional-dependencies"][extra]
    assert {canonical(requirement) for requirement in wanted} <= pinned
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.findall(r"^\s*(?:-i|--\w*index|--find-links|\S+ @ ).*", text, re.MULTILINE) == []
    assert "://" not in text


def test_every_extra_has_a_lock() -> None:
    assert set(PROJECT["optional-dependencies"]) <= {e for extras in LOCKS.values() for e in extras}


def test_no_file_names_a_place_of_the_machine_it_was_written_on() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, timeout=30
    )
    # Put together here, so that this file does not find itself.
    places = [f"/{top}/{rest}" for top, rest in (("work", "main"), ("root", "."), ("tmp", "w/"))]
    wrong = []
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file():
            text = path.read_bytes().decode("utf-8", "replace")
            wrong += [f"{name}: {place}" for place in places if place in text]
    assert wrong == []
