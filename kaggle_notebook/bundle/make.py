"""Makes a bundle: wheels for each Python, vocabularies, prompts, and a manifest of all."""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from kaggle_notebook.build.locate import MANIFEST, read_manifest
from kaggle_notebook.bundle.image import Image, protected, read_image
from kaggle_notebook.bundle.manifest import (
    PROJECT,
    BundleFile,
    Kind,
    Manifest,
    Target,
    sha256_of,
)
from kaggle_notebook.bundle.pip_for import holds
from kaggle_notebook.bundle.wheels import Wanted, Wheel, build_project, fetch, read_wheel
from kaggle_notebook.errors import BundleError

#: What Kaggle's images of 2025 and 2026 run.
PYTHONS = ("3.11", "3.12")
#: Their system's C library is 2.35 (Ubuntu 22.04).
PLATFORM = "manylinux_2_35_x86_64"
#: OpenAI's published ranks, gpt-oss's vocabulary.
O200K = "o200k_base.tiktoken"
O200K_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRequest:
    """What a bundle is made of. `project` is a folder with pyproject.toml or a wheel.

    `tested` are the versions to prefer where the image has none, by Python; `lean` leaves out what
    the image has in the version that is needed.
    """

    out: Path
    project: Path
    pythons: Sequence[str] = PYTHONS
    platform: str = PLATFORM
    extras: Sequence[str] = ()
    image: Image = field(default_factory=Image)
    tested: Mapping[str, Image] = field(default_factory=dict)
    allowed: Sequence[str] = ()
    vocabularies: Sequence[Path] = ()
    prompts: Path | None = None
    lean: bool = False


def make(request: BundleRequest, tell: Callable[[str], object] = lambda _: None) -> Manifest:
    """Make a bundle in an empty folder, or over an earlier one; `tell` gets a line at a time.

    Nothing of an earlier bundle is touched before the new one is whole.

    Raises:
        BundleError: something is missing, or a protected package would be replaced.
    """
    _check(request)
    request.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=request.out.parent) as temporary:
        work = Path(temporary)
        project = _project(request, work / "project")
        bundle = work / "bundle"
        targets = {}
        for python in request.pythons:
            tell(f"fetching wheels for Python {python} on {request.platform}")
            wanted = Wanted(
                project=project,
                extras=request.extras,
                python=python,
                platform=request.platform,
                image=request.image,
                tested=request.tested.get(python, Image()),
            )
            wheels = fetch(wanted, work / python)
            targets[python] = _target(wheels, request)
            for line in _lines(python, targets[python], request.image):
                tell(line)
            _refuse_protected(python, targets[python], request)
            _take(wheels, targets[python], bundle / "wheels", lean=request.lean)
        _take_files(request, bundle)
        extras = tuple(request.extras)
        files = tuple(_files(bundle))
        manifest = Manifest(project.version, extras, request.platform, targets, files)
        (bundle / MANIFEST).write_text(manifest.text(), encoding="utf-8", newline="\n")
        if request.out.exists():
            shutil.rmtree(request.out)
        bundle.replace(request.out)
    return manifest


def tested_versions(project: Path, extras: Iterable[str], python: str, platform: str) -> Image:
    """Return the versions in the locks of a project's folder; none where it has no locks."""
    applies = partial(holds, python=python, platform=platform)
    versions: dict[str, str] = {}
    for name in ("core", *extras):
        path = project / "requirements" / f"{name}.txt"
        if path.is_file():
            versions |= read_image(path, applies).versions
    return Image(versions)


def default_prompts() -> Path | None:
    """Return the folder of the prompts that the installed server reads."""
    found = find_spec("server")
    where = list(found.submodule_search_locations or ()) if found else []
    folder = Path(where[0]) / "prompts" if where else None
    return folder if folder is not None and folder.is_dir() else None


def _check(request: BundleRequest) -> None:
    out = request.out
    if out.exists() and not (out.is_dir() and _may_be_replaced(out)):
        raise BundleError(f"{out}: is there and is no bundle; name another folder with --out")
    for path in request.vocabularies:
        if not path.is_file():
            raise BundleError(f"vocabulary {path}: no such file")
        if path.name == O200K and sha256_of(path) != O200K_SHA256:
            raise BundleError(
                f"vocabulary {path}: its bytes are not the published ones (sha256 {O200K_SHA256}); "
                "fetch it again"
            )


def _may_be_replaced(folder: Path) -> bool:
    return not any(folder.iterdir()) or read_manifest(folder / MANIFEST) is not None


def _project(request: BundleRequest, folder: Path) -> Wheel:
    given = request.project
    wheel = build_project(given, folder) if given.is_dir() else read_wheel(given)
    if wheel.name != PROJECT:
        raise BundleError(f"{given}: is {wheel.name}, not {PROJECT}; give Quorum's own folder")
    unknown = sorted(set(request.extras) - wheel.extras)
    if unknown:
        raise BundleError(
            f"extra {', '.join(unknown)}: Quorum has {', '.join(sorted(wheel.extras)) or 'none'}; "
            "correct --extra"
        )
    return wheel


def _target(wheels: Iterable[Wheel], request: BundleRequest) -> Target:
    image = request.image
    lock = {wheel.name: wheel.version for wheel in wheels}
    others = {name: version for name, version in lock.items() if name != PROJECT}
    kept = {name: image.versions[name] for name, v in others.items() if image.has(name, v)}
    replaces = {
        name: (image.versions[name], version)
        for name, version in others.items()
        if name in image.versions and name not in kept
    }
    replaces |= {n: ("unknown", v) for n, v in others.items() if n in image.unversioned}
    adds = tuple(name for name in lock if name not in kept and name not in replaces)
    return Target(lock, adds, replaces, kept)


def _lines(python: str, target: Target, image: Image) -> Iterator[str]:
    """Yield what a target adds to the image, and what it replaces there."""
    if not image.versions:
        yield f"Python {python}: {len(target.lock)} packages; no --image says what it has"
        return
    yield (
        f"Python {python}: {len(target.kept)} packages of the image kept, {len(target.adds)} "
        f"added, {len(target.replaces)} replaced in the server's own environment"
    )
    for name in target.adds:
        yield f"  adds {name} {target.lock[name]}"
    for name, (before, after) in sorted(target.replaces.items()):
        yield f"  replaces {name} {before} by {after}"


def _refuse_protected(python: str, target: Target, request: BundleRequest) -> None:
    refused = [name for name in sorted(target.replaces) if protected(name, request.allowed)]
    if refused:
        changes = ", ".join(
            f"{name} {target.replaces[name][0]} by {target.replaces[name][1]}" for name in refused
        )
        flags = " ".join(f"--allow {name}" for name in refused)
        raise BundleError(
            f"Python {python}: the dependencies replace {changes}, which the image's own programs "
            f"rest on; leave out the extra that asks for it, or allow it with {flags}"
        )


def _take(wheels: Iterable[Wheel], target: Target, folder: Path, *, lean: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for wheel in wheels:
        if lean and wheel.name in target.kept:
            continue
        if not (folder / wheel.path.name).exists():
            shutil.copyfile(wheel.path, folder / wheel.path.name)


def _take_files(request: BundleRequest, bundle: Path) -> None:
    for path in request.vocabularies:
        (bundle / "vocabulary").mkdir(exist_ok=True)
        shutil.copyfile(path, bundle / "vocabulary" / path.name)
    if request.prompts is None:
        return
    for path in sorted(request.prompts.rglob("*.md")):
        target = bundle / "prompts" / path.relative_to(request.prompts)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


_KINDS = {"wheels": Kind.WHEEL, "vocabulary": Kind.VOCABULARY, "prompts": Kind.PROMPT}


def _files(bundle: Path) -> Iterator[BundleFile]:
    for path in sorted(bundle.rglob("*")):
        if path.is_file():
            inside = path.relative_to(bundle)
            kind = _KINDS[inside.parts[0]]
            yield BundleFile(inside.as_posix(), kind, path.stat().st_size, sha256_of(path))
