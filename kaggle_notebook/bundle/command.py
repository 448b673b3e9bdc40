"""`quorum kaggle bundle`: everything that a notebook without internet needs, in one folder."""

from pathlib import Path
from typing import Annotated

import typer

from kaggle_notebook.bundle import manifest as manifests
from kaggle_notebook.bundle.image import read_image
from kaggle_notebook.bundle.make import (
    PLATFORM,
    PYTHONS,
    BundleRequest,
    default_prompts,
    make,
    tested_versions,
)
from kaggle_notebook.bundle.wheels import prove, read_wheel

GB = 10**9
#: A checkout: the folder above the package, where that is not an installed one.
_ROOT = Path(__file__).parent.parent.parent


def bundle(  # noqa: PLR0913 - the command line's options are its parameters
    out: Annotated[Path, typer.Argument(help="The folder to make.")] = Path("quorum-bundle"),
    *,
    python: Annotated[
        list[str] | None,
        typer.Option(help=f"A Python of the target; default: {' and '.join(PYTHONS)}."),
    ] = None,
    platform: Annotated[str, typer.Option(help="The target's platform.")] = PLATFORM,
    image: Annotated[
        Path | None,
        typer.Option(help="`pip freeze` of the target image: its versions are kept."),
    ] = None,
    extra: Annotated[
        list[str] | None, typer.Option(help="An extra of Quorum's: embedded, sglang.")
    ] = None,
    allow: Annotated[
        list[str] | None, typer.Option(help="A protected package that may be replaced.")
    ] = None,
    vocabulary: Annotated[
        list[Path] | None, typer.Option(help="A vocabulary file, such as o200k_base.tiktoken.")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="A folder of prompts; default: the server's.")
    ] = None,
    project: Annotated[
        Path | None, typer.Option(help="Quorum's folder or wheel; default: this checkout.")
    ] = None,
    lean: Annotated[
        bool, typer.Option("--lean", help="Leave out what the image has in the same version.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Only read a bundle: its hashes, and whether each Python has all it needs.",
        ),
    ] = False,
) -> None:
    """Make the offline bundle: wheels, vocabularies and prompts, with their hashes."""
    if check:
        found = manifests.read(out)
        _check(out, found)
        typer.echo(_described(out, found))
        return
    root, pythons = project or _ROOT, tuple(python or PYTHONS)
    request = BundleRequest(
        out=out,
        project=root,
        pythons=pythons,
        platform=platform,
        extras=tuple(extra or ()),
        image=read_image(image),
        tested={each: tested_versions(root, extra or (), each, platform) for each in pythons},
        allowed=tuple(allow or ()),
        vocabularies=tuple(vocabulary or ()),
        prompts=prompts or default_prompts(),
        lean=lean,
    )
    typer.echo(_described(out, make(request, typer.echo)))


def _check(out: Path, found: manifests.Manifest) -> None:
    """Read all files, and have pip resolve each target from them as it will there."""
    where = manifests.verify(out, found)
    wheels = {name: path for name, path in where.items() if path.suffix == ".whl"}
    project = next(path for name, path in wheels.items() if manifests.PROJECT_WHEEL in name)
    extras = f"[{','.join(found.extras)}]" if found.extras else ""
    here = {read_wheel(path).name for path in wheels.values()}
    for python, target in sorted(found.targets.items()):
        left_out = sorted(set(target.lock) - here)
        if left_out:
            typer.echo(f"Python {python}: rests on the image for {', '.join(left_out)}")
            continue
        folders = [path.parent for path in wheels.values()]
        taken = prove(f"{project}{extras}", folders, python, found.platform)
        typer.echo(f"Python {python}: pip finds all {len(taken)} packages in the bundle")


def _described(out: Path, found: manifests.Manifest) -> str:
    size = sum(file.size_bytes for file in found.files) / GB
    pythons = ", ".join(found.targets)
    return (
        f"{out}: Quorum {found.release} for Python {pythons}, {len(found.files)} files, "
        f"{size:.2f} GB, hashes in manifest.json"
    )
