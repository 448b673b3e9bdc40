"""Fetches wheels for another Python and platform, by the installed pip and its own settings."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from kaggle_notebook.bundle import pip_for
from kaggle_notebook.bundle.image import Image, normal, protected
from kaggle_notebook.errors import BundleError

#: Seconds for one resolution with its downloads: an engine for GPUs has some GB.
LIMIT_S = 7200.0
#: Every round gives up at least one of the image's versions that cannot be kept.
MOST_ROUNDS = 40
#: glibc of the oldest manylinux that pip knows by its own name; older images have none of ours.
_OLDEST_GLIBC = 5
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_MANYLINUX = re.compile(r"manylinux_2_(\d+)_(\w+)")
_CONSTRAINT = re.compile(r"The user requested \(constraint\) ([\w.-]+)==")
#: Of two versions that cannot go together pip tells what they need, and not who asked for them.
_DEPENDS = re.compile(r"^\s+([\w.-]+)(?:\[[^\]]*\])? (\S+) depends on ", re.MULTILINE)
_NO_VERSION = re.compile(r"No matching distribution found for ([\w.-]+)==")
_OPTIONS = ("--no-input", "--disable-pip-version-check", "--progress-bar=off")


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel's file with the name, version and extras that it says itself."""

    path: Path
    name: str
    version: str
    extras: frozenset[str] = frozenset()


def platforms(platform: str) -> list[str]:
    """Return a platform and the older ones whose wheels run on it too, the newest first."""
    found = _MANYLINUX.fullmatch(platform)
    if found is None:
        return [platform]
    newest, machine = int(found[1]), found[2]
    tags = []
    for minor in range(newest, _OLDEST_GLIBC - 1, -1):
        tags.append(f"manylinux_2_{minor}_{machine}")
        if minor in _LEGACY:
            tags.append(f"{_LEGACY[minor]}_{machine}")
    return [*tags, f"linux_{machine}"]


def build_project(root: Path, folder: Path) -> Wheel:
    """Build the project's wheel from its folder, with the build backend that is installed here.

    Raises:
        BundleError: it cannot be built.
    """
    if not (root / "pyproject.toml").is_file():
        raise BundleError(
            f"{root}: holds no pyproject.toml; run the command in the project's folder, or give "
            "its wheel with --project"
        )
    with tempfile.TemporaryDirectory(prefix="quorum-wheel-") as temporary:
        command = [
            "wheel",
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            temporary,
            str(root),
        ]
        done = _run_pip(command)
        if done.returncode != 0:
            raise BundleError(f"{root}: its wheel cannot be built: {_last_error(done)}")
        built = next(Path(temporary).glob("*.whl"))
        folder.mkdir(parents=True, exist_ok=True)
        return read_wheel(Path(shutil.move(built, folder / built.name)))


def read_wheel(path: Path) -> Wheel:
    """Return a wheel with the name and version in its metadata.

    Raises:
        BundleError: it is none, or truncated.
    """
    try:
        with zipfile.ZipFile(path) as wheel:
            inside = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
            metadata = HeaderParser().parsestr(wheel.read(inside).decode())
        extras = frozenset(metadata.get_all("Provides-Extra") or ())
        return Wheel(path, normal(metadata["Name"]), metadata["Version"], extras)
    except (OSError, zipfile.BadZipFile, StopIteration, AttributeError, ValueError) as error:
        raise BundleError(f"{path}: is no whole wheel ({error}); fetch it again") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is fetched: `project` with `extras` for one `python` on one `platform`.

    The versions of `image` are kept wherever the dependencies allow it; of what it lacks, those
    of `tested` are preferred.
    """

    project: Wheel
    extras: Sequence[str]
    python: str
    platform: str
    image: Image
    tested: Image


def fetch(wanted: Wanted, folder: Path) -> list[Wheel]:
    """Fetch the project's dependencies into a folder; return all that is needed.

    Raises:
        BundleError: there is no wheel of something, or the index cannot be reached.
    """
    preferred = Image({**wanted.tested.versions, **wanted.image.versions})
    given_up: set[str] = set()
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(MOST_ROUNDS):
        constraints = folder / "constraints.txt"
        constraints.write_text(preferred.constraints(given_up), encoding="utf-8")
        done = _run_pip(_command(wanted, folder), (wanted.python, wanted.platform))
        constraints.unlink()
        if done.returncode == 0:
            return [read_wheel(path) for path in sorted(folder.glob("*.whl"))]
        said = done.stderr + done.stdout
        named = {normal(name) for name in [*_CONSTRAINT.findall(said), *_NO_VERSION.findall(said)]}
        named |= {
            normal(name) for name, v in _DEPENDS.findall(said) if preferred.has(normal(name), v)
        }
        conflicting = (named & preferred.versions.keys()) - given_up
        if not conflicting:
            raise BundleError(
                f"no wheels for Python {wanted.python} on {wanted.platform}: {_last_error(done)}; "
                "choose another --python or --platform, or correct pip's settings"
            )
        given_up |= _least_dear(conflicting, wanted.image)
    raise BundleError(f"no wheels for Python {wanted.python}: more than {MOST_ROUNDS} conflicts")


def _least_dear(names: set[str], image: Image) -> set[str]:
    """Return those of conflicting packages to give up first: ours, then what is not protected."""
    ours = names - image.versions.keys()
    free = {name for name in names if not protected(name, ())}
    return ours or free or names


def prove(requirement: str, folders: Iterable[Path], python: str, platform: str) -> list[str]:
    """Resolve a requirement for another Python from folders of wheels alone; return what is taken.

    That is what the target's pip will do, but for the image's own packages.

    Raises:
        BundleError: the folders do not hold all that is needed.
    """
    with tempfile.TemporaryDirectory(prefix="quorum-prove-") as temporary:
        report = Path(temporary) / "report.json"
        links = [f"--find-links={folder}" for folder in sorted(set(folders))]
        command = ["install", "--dry-run", "--no-index", "--only-binary=:all:", "--quiet"]
        command += [f"--target={temporary}/target", f"--report={report}", *links]
        whole = [*command, *_of_target(python, platform), requirement]
        done = _run_pip(whole, (python, platform), alone=True)
        if done.returncode != 0:
            raise BundleError(
                f"the bundle does not hold all that Python {python} needs: {_last_error(done)}; "
                "make it again with `quorum kaggle bundle`"
            )
        items = json.loads(report.read_bytes())["install"]
        return sorted(normal(item["metadata"]["name"]) for item in items)


def _of_target(python: str, platform: str) -> list[str]:
    options = [f"--platform={each}" for each in platforms(platform)]
    options += [f"--python-version={python}", "--implementation=cp"]
    tag = "cp" + python.replace(".", "")
    return options + [f"--abi={abi}" for abi in (tag, "abi3", "none")]


def _command(wanted: Wanted, folder: Path) -> list[str]:
    options = _of_target(wanted.python, wanted.platform)
    extra = f"[{','.join(wanted.extras)}]" if wanted.extras else ""
    return [
        *("download", "--only-binary=:all:", "--dest", str(folder)),
        *("--constraint", str(folder / "constraints.txt")),
        *options,
        f"{wanted.project.path.absolute()}{extra}",
    ]


def _run_pip(
    arguments: Sequence[str], target: tuple[str, str] | None = None, *, alone: bool = False
) -> "subprocess.CompletedProcess[str]":
    """Run pip with the user's settings for it, or `alone`: without any.

    For a `target`, a Python and a platform, the markers of requirements are read as they are there.
    """
    environment = {**os.environ, "PIP_NO_COLOR": "1"}
    if alone:
        environment = {name: value for name, value in environment.items() if name[:4] != "PIP_"}
        environment["PIP_CONFIG_FILE"] = os.devnull
    program = [sys.executable, "-m", "pip"]
    if target is not None:
        program = [sys.executable, "-P", pip_for.__file__, *target]
    command = [*program, arguments[0], *_OPTIONS, *arguments[1:]]
    try:
        return subprocess.run(
            command, check=False, capture_output=True, text=True, errors="replace",
            timeout=LIMIT_S, stdin=subprocess.DEVNULL, env=environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BundleError(f"pip did not end within {LIMIT_S:.0f} s") from None


def _last_error(done: "subprocess.CompletedProcess[str]") -> str:
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    # an index's address may carry a password
    said = " ".join(errors or lines[-1:] or ["pip says nothing"])
    return re.sub(r"(https?://)[^/\s@]+@", r"\1…@", said)[:600]
