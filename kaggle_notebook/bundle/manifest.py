"""A bundle's manifest: what it holds, for which Pythons, and how to tell damage. Standard library.

{"format": "quorum-bundle", "version": 1, "release": "0.1.0", "extras": ["embedded"],
 "platform": "manylinux_2_28_x86_64",
 "targets": {"3.12": {"lock": {"anyio": "4.12.0"}, "adds": ["anyio"],
                      "replaces": {"httpx": ["0.27.0", "0.28.1"]}}},
 "files": [{"path": "wheels/anyio-4.12.0-py3-none-any.whl", "kind": "wheel",
            "size_bytes": 113000, "sha256": "…"}]}
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from kaggle_notebook.build.locate import FORMAT, MANIFEST, folders_below
from kaggle_notebook.errors import BundleError

VERSION = 1
#: The distribution whose wheel is the project.
PROJECT = "quorum-aimo"
PROJECT_WHEEL = "quorum_aimo-"
_READ_BYTES = 1 << 20


class Kind(StrEnum):
    """What a file of a bundle is."""

    WHEEL = "wheel"
    VOCABULARY = "vocabulary"
    PROMPT = "prompt"


@dataclass(frozen=True, slots=True)
class BundleFile:
    """One file; `path` is relative to the bundle, with slashes."""

    path: str
    kind: Kind
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Target:
    """What is installed for one Python.

    ``lock`` is name to version of all that is needed, ``adds`` what the image lacks, ``replaces``
    name to the image's version and ours, ``kept`` what the image has and keeps, by name to version.
    """

    lock: Mapping[str, str]
    adds: tuple[str, ...] = ()
    replaces: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """All of it; `targets` are by Python, as in 3.12."""

    release: str
    extras: tuple[str, ...]
    platform: str
    targets: Mapping[str, Target]
    files: tuple[BundleFile, ...]

    def text(self) -> str:
        """Return it as the file has it: the same for the same content."""
        value = {"format": FORMAT, "version": VERSION, **asdict(self)}
        return json.dumps(value, indent=1, sort_keys=True) + "\n"


def target_name() -> str:
    """Return the name of this interpreter among targets."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def read(bundle: Path) -> Manifest:
    """Return a bundle's manifest.

    Raises:
        BundleError: there is none that this program understands.
    """
    path = bundle / MANIFEST
    try:
        value = json.loads(path.read_bytes())
        if value["format"] != FORMAT:
            raise ValueError("it is another program's")
        if value["version"] > VERSION:
            raise ValueError(f"its version {value['version']} is newer than this program")
        return _manifest(value)
    except (
        *(OSError, ValueError, LookupError, TypeError, AttributeError),
        *(OverflowError, RecursionError),
    ) as error:
        raise BundleError(
            f"{path}: cannot be read as a bundle's manifest ({error}); make the bundle again with "
            "`quorum kaggle bundle`"
        ) from error


def _manifest(value: Mapping[str, Any]) -> Manifest:
    targets = {
        str(name): Target(
            dict(target["lock"]),
            tuple(target["adds"]),
            {each: (pair[0], pair[1]) for each, pair in target["replaces"].items()},
            dict(target["kept"]),
        )
        for name, target in value["targets"].items()
    }
    files = tuple(
        BundleFile(
            _inside(each["path"]), Kind(each["kind"]), int(each["size_bytes"]), each["sha256"]
        )
        for each in value["files"]
    )
    release, platform = str(value["release"]), str(value["platform"])
    return Manifest(release, tuple(value["extras"]), platform, targets, files)


def _inside(path: str) -> str:
    """Return a path of a manifest. Raises ValueError where it leads out of the bundle."""
    parts = Path(path).parts
    if not parts or Path(path).is_absolute() or ".." in parts:
        raise ValueError(f"the path {path!r} leads out of the bundle")
    return path


def place(bundle: Path, manifest: Manifest) -> dict[str, Path]:
    """Return where each file that can be found is, by its path in the manifest.

    Uploads may lose folders: a file that is not at its path is looked for by its name.
    """
    found = {}
    elsewhere: dict[str, list[Path]] | None = None
    for file in manifest.files:
        path = bundle / file.path
        if path.is_file():
            found[file.path] = path
            continue
        if elsewhere is None:
            elsewhere = _by_name(bundle)
        named = elsewhere.get(path.name, [])
        if len(named) == 1:
            found[file.path] = named[0]
    return found


def missing_files(bundle: Path, manifest: Manifest) -> list[str]:
    """Return what is not there or of another size, in words."""
    where = place(bundle, manifest)
    wrong = []
    for file in manifest.files:
        path = where.get(file.path)
        if path is None:
            wrong.append(f"{file.path} is missing")
        elif (size := path.stat().st_size) != file.size_bytes:
            how = "truncated" if size < file.size_bytes else "too large"
            wrong.append(f"{file.path} is {how} ({size:,} of {file.size_bytes:,} bytes)")
    return wrong


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal digits. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def verify(bundle: Path, manifest: Manifest) -> dict[str, Path]:
    """Return where the files are, after reading all of them.

    Raises:
        BundleError: a file is missing, truncated or has other bytes than the manifest says; the
            sentence names it.
    """
    wrong = missing_files(bundle, manifest)
    where = place(bundle, manifest)
    if not wrong:
        wrong = [
            f"{file.path} has other bytes than the manifest says"
            for file in manifest.files
            if sha256_of(where[file.path]) != file.sha256
        ]
    if wrong:
        raise BundleError(f"bundle {bundle}: {'; '.join(wrong)}; upload or make the bundle again")
    return where


def _by_name(bundle: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for folder, names in folders_below(bundle):
        for name in names:
            found.setdefault(name, []).append(folder / name)
    return found
