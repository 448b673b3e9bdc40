"""Finds the bundle and its code. The notebook carries this file whole: standard library alone."""

import json
import os
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

MANIFEST = "manifest.json"
FORMAT = "quorum-bundle"
PACKAGE = "kaggle_notebook"
#: Set by the contest in the run that counts.
RERUN = "KAGGLE_IS_COMPETITION_RERUN"
#: The project's oldest Python, as pyproject.toml says.
OLDEST_PYTHON = (3, 11)
#: Inputs are mounted up to seven folders deep: models/owner/name/framework/variation/version.
MAX_DEPTH = 8
#: Folders looked into; a data set of very many must not keep the inference server waiting.
MAX_FOLDERS = 20_000


def folders_below(root: Path, depth: int = MAX_DEPTH) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder with the names of its files, the nearest first, in a fixed order."""
    level = [root]
    seen: set[tuple[int, int]] = set()  # links may lead back up
    for _ in range(depth + 1):
        below: list[Path] = []
        for folder in level:
            try:
                status = folder.stat()
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
                if len(seen) > MAX_FOLDERS:
                    return
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError:
                continue  # a mount that went away, or one that others own
            files = [entry.name for entry in entries if _holds(entry.is_file)]
            below += [Path(entry.path) for entry in entries if _holds(entry.is_dir)]
            yield folder, files
        level = below


def _holds(question: Callable[[], bool]) -> bool:
    """Return what an entry says of itself; False of a link to itself, or where the disk fails."""
    try:
        return question()
    except OSError:
        return False


def read_manifest(path: Path) -> dict[str, object] | None:
    """Return a bundle's manifest; None for another file of that name."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and value.get("format") == FORMAT else None


def find_bundle(root: str | Path) -> Path | None:
    """Return the folder that holds the bundle, None where there is none.

    Raises LookupError where there are several that differ; a run that counts goes on with the first
    that has code.
    """
    found: dict[str, Path] = {}
    for folder, names in folders_below(Path(root)):
        manifest = read_manifest(folder / MANIFEST) if MANIFEST in names else None
        if manifest is not None:
            found.setdefault(json.dumps(manifest, sort_keys=True), folder)
    places = list(found.values())
    if len(places) > 1 and RERUN not in os.environ:
        listed = ", ".join(map(str, places))
        raise LookupError(f"{root}: holds several bundles ({listed}); detach all but one")
    if len(places) > 1:
        places.sort(key=lambda place: find_code(place) is None)
    return next(iter(places), None)


def find_code(bundle: Path) -> Path | None:
    """Return what to put on `sys.path`: the project's wheel, or the folder it was unpacked to."""
    for folder, names in folders_below(bundle, depth=4):
        if folder.name == PACKAGE and "__init__.py" in names:
            return folder.parent
        for name in names:
            if name.startswith("quorum_aimo-") and name.endswith(".whl"):
                return folder / name
    return None


def unpacked(code: Path) -> Path:
    """Return a folder with the code: a wheel's is unpacked, as prompts are read as files.

    Where no disk has room for it, the wheel: a session runs from that, and its server from what is
    installed. Raises LookupError where the wheel is damaged.
    """
    if code.is_dir():
        return code
    for place in (None, "/dev/shm"):  # noqa: S108 - a folder of its own is made there
        try:
            folder = Path(tempfile.mkdtemp(prefix="quorum-code-", dir=place))
            with zipfile.ZipFile(code) as wheel:
                wheel.extractall(folder)
            return folder
        except OSError:
            continue
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise LookupError(f"{code}: is damaged ({error}); upload the bundle again") from None
    return code


def add_code(root: str | Path) -> Path | None:
    """Make the project importable from the bundle below `root`; return the bundle's folder.

    None: there is no bundle, and the project is installed. Raises LookupError where it is not, and
    where this Python is too old for it.
    """
    if sys.version_info[:2] < OLDEST_PYTHON:
        here, oldest = (".".join(map(str, each)) for each in (sys.version_info[:2], OLDEST_PYTHON))
        raise LookupError(
            f"Python {here}: Quorum needs {oldest} or later; choose a later image for the notebook"
        )
    bundle = find_bundle(root)
    code = None if bundle is None else find_code(bundle)
    if code is not None:
        sys.path.insert(0, str(unpacked(code)))
        return bundle
    try:
        __import__(PACKAGE)
    except ImportError:
        raise LookupError(
            f"{root}: holds no bundle of Quorum (a folder with {MANIFEST} and wheels); attach the "
            "data set that `quorum kaggle dataset` made"
        ) from None
    return bundle
