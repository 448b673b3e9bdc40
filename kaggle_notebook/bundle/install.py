"""Installs a bundle without an index: `python -m kaggle_notebook.bundle.install BUNDLE`.

Into an environment of its own that sees the image's packages: what the image has and Quorum can use
is used, what it lacks or has too old is put before it, for this environment alone. So nothing that
the notebook or others import changes. Hashes are read before anything is installed. The last line
of output is JSON, ``{"python": path}``. Standard library and pip.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import site
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from kaggle_notebook.bundle.doctor import keep_findings
from kaggle_notebook.bundle.image import normal
from kaggle_notebook.bundle.manifest import (
    PROJECT,
    PROJECT_WHEEL,
    Kind,
    Manifest,
    read,
    target_name,
    verify,
)
from kaggle_notebook.errors import BundleError, KaggleError

DONE = ".done"
#: Seconds that pip may take: 60 wheels took 20 s on two cores, an engine for GPUs some minutes.
PIP_LIMIT_S = 900.0
#: Seconds for a first import in the new environment, on a slow disk.
IMPORT_LIMIT_S = 120.0
_PIP_OPTIONS = (
    "--no-index",
    "--no-cache-dir",
    "--no-input",
    "--disable-pip-version-check",
    "--no-warn-script-location",
    "--quiet",
)


def default_environment(manifest: Manifest) -> Path:
    """Return where the environment of a bundle is made: the same for the same bundle."""
    digest = hashlib.sha256((manifest.text() + sys.version).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"quorum-environment-{os.getuid()}-{digest}"


def install(bundle: Path, environment: Path | None = None) -> Path:
    """Make the environment, unless it is there, and return its interpreter.

    Raises:
        BundleError: the bundle is damaged or is for another Python, or pip cannot install it.
    """
    manifest = read(bundle)
    target = target_name()
    if target not in manifest.targets:
        raise BundleError(
            f"bundle {bundle}: is for Python {', '.join(sorted(manifest.targets))}, this is "
            f"{target}; make it again with `quorum kaggle bundle --python {target}`"
        )
    folder = environment or default_environment(manifest)
    with _alone(folder):
        return _installed_to(folder, bundle, manifest)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Have one program at a time at an environment: another's would be taken away under it."""
    try:
        lock = os.open(f"{folder}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError:
        yield  # nobody else could make it either, or the install tells why
        return
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _installed_to(folder: Path, bundle: Path, manifest: Manifest) -> Path:
    """Make the environment in a folder, unless it is there; return its interpreter."""
    python = folder / "bin" / "python"
    if _is_ours(folder) and (folder / DONE).exists() and python.exists():
        return python
    where = verify(bundle, manifest)
    wheels = {where[file.path].parent for file in manifest.files if file.kind is Kind.WHEEL}
    _make(folder)
    extras = f"[{','.join(manifest.extras)}]" if manifest.extras else ""
    before = _installed()
    wheel = next(path for name, path in where.items() if PROJECT_WHEEL in name)
    report = _pip(python, sorted(wheels), f"{wheel}{extras}")
    if PROJECT in before and not any(
        normal(item["metadata"]["name"]) == PROJECT for item in report
    ):
        # the same version need not be the same code: the bundle's is what was tested
        report += _pip(python, [], str(wheel), "--no-deps", "--force-reinstall")
    _tell(report, before)
    _try_import(python)
    (folder / DONE).touch()
    return python


def _is_ours(folder: Path) -> bool:
    """Whether a folder is there. Raises BundleError where it is another user's."""
    try:
        owner = folder.stat().st_uid
    except FileNotFoundError:
        return False
    if owner != os.getuid():
        raise BundleError(f"{folder}: belongs to another user; give another --environment")
    return True


def _make(folder: Path) -> None:
    """Make an environment that sees what this interpreter sees."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.create(folder, system_site_packages=True, with_pip=False, symlinks=True)
        if sys.prefix != sys.base_prefix:
            # the base's packages are seen by themselves, those of an environment are not
            own = next((folder / "lib").glob("python*/site-packages"))
            (own / "image.pth").write_text("\n".join(site.getsitepackages()) + "\n", "utf-8")
    except (OSError, subprocess.CalledProcessError, StopIteration) as error:
        raise BundleError(f"{folder}: the environment cannot be made ({error})") from error


def _pip(python: Path, wheels: list[Path], requirement: str, *options: str) -> list[dict[str, Any]]:
    """Install a requirement from folders of wheels; return pip's report of what it installed."""
    links = [f"--find-links={folder}" for folder in wheels]
    with tempfile.TemporaryDirectory(prefix="quorum-pip-") as temporary:
        path = Path(temporary) / "report.json"
        command = [sys.executable, "-m", "pip", f"--python={python}", "install", *_PIP_OPTIONS]
        command += [*options, *links, f"--report={path}", requirement]
        # the image's configuration must not add an index or a constraint
        environment = {name: value for name, value in os.environ.items() if name[:4] != "PIP_"}
        environment["PIP_CONFIG_FILE"] = os.devnull
        try:
            done = subprocess.run(
                command, check=False, capture_output=True, text=True, errors="replace",
                timeout=PIP_LIMIT_S, stdin=subprocess.DEVNULL, env=environment,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise BundleError(f"pip did not end within {PIP_LIMIT_S:.0f} s") from None
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            errors = [line for line in said.splitlines() if line.startswith("ERROR")] or [said]
            raise BundleError(
                f"pip cannot install {Path(requirement).name}: {' '.join(errors)[:600]}"
            )
        try:
            items = json.loads(path.read_bytes())["install"]
        except (OSError, ValueError, KeyError):
            return []
    return items if isinstance(items, list) else []


def _installed() -> dict[str, str]:
    """Return what this interpreter sees: normal names and versions."""
    found: dict[str, str] = {}
    for each in distributions():
        name = each.metadata["Name"]
        if name:
            found.setdefault(normal(name), each.version)
    return found


def _tell(report: list[dict[str, Any]], before: dict[str, str]) -> None:
    for item in report:
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        had = before.get(normal(name))
        if had is None:
            sys.stdout.write(f"adds {name} {version}\n")
        elif had != version:
            sys.stdout.write(f"puts {name} {version} before the image's {had}\n")


def _try_import(python: Path) -> None:
    """Raise BundleError unless the project can be imported."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(
            [str(python), "-P", "-c", "import client.main"], check=False, capture_output=True,
            text=True, errors="replace", timeout=IMPORT_LIMIT_S, env=environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BundleError(f"no import within {IMPORT_LIMIT_S:.0f} s") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise BundleError(f"what was installed cannot be imported: {last[:300]}")


def main() -> None:
    """Install a bundle and print the interpreter as JSON."""
    parser = argparse.ArgumentParser(description="Install a bundle of Quorum without an index.")
    parser.add_argument("bundle", type=Path, help="the folder with manifest.json")
    parser.add_argument("--environment", type=Path, help="where to install; default: a new folder")
    parser.add_argument("--doctor", type=Path, help="a file for what `quorum doctor` finds then")
    parser.add_argument("--server", type=json.loads, default={}, help="the server's settings: JSON")
    options = parser.parse_args()
    try:
        python = install(options.bundle, options.environment)
    except KaggleError as error:
        sys.stderr.write(f"quorum: {error}\n")
        sys.exit(1)
    if options.doctor:
        keep_findings(python, options.server, options.doctor)
    sys.stdout.write(json.dumps({"python": str(python)}) + "\n")


if __name__ == "__main__":
    main()
