"""The pool's own tests against both ends of the Jupyter packages, each in its own environment.

    make versions                       make what is missing, run both
    python -m tests.versions.run --lock renew the locks beside this file

An environment is made once, from a lock with hashes, in the user's cache. Where no package index
can be reached it is skipped, and that is said.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from platformdirs import user_cache_path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NAMES = ("kaggle", "newest")
PACKAGES = ("ipykernel", "IPython", "jupyter_client", "zmq")

#: The contract of a pool and what goes on from it, with real kernels. What depends on the place of
#: an environment (other users must reach it) or on an installed Quorum is for the tests of ours.
SUITE = (
    "tests/contract/test_kernel_pool.py",
    "tests/sandbox/test_awaiting.py",
    "tests/sandbox/test_cells.py",
    "tests/sandbox/test_commands.py",
    "tests/sandbox/test_forked.py",
    "tests/sandbox/test_nothing_is_left.py",
    "tests/sandbox/test_tracebacks.py",
)

#: Environments of earlier locks that are kept, the latest first.
_KEPT = 2


def environment_path(name: str) -> Path:
    """Where the environment of a lock is: it changes with the lock and with the interpreter."""
    content = (HERE / f"{name}.txt").read_bytes() + sys.version.encode()
    digest = hashlib.sha256(content).hexdigest()[:12]
    return user_cache_path("quorum") / "versions" / f"{name}-{digest}"


def make_environment(name: str) -> Path | None:
    """The interpreter of an environment that is there or is made now; None without an index.

    Raises:
        SystemExit: the index was reached, and the lock could not be installed.
    """
    folder = environment_path(name)
    python, done = folder / "bin" / "python", folder / ".done"
    if done.exists():
        done.touch()
        return python
    venv.create(folder, clear=True, with_pip=True)
    lock = str(HERE / f"{name}.txt")
    install = [*_pip(python), "install", "--quiet", "--require-hashes", "-r", lock]
    finished = subprocess.run(install, check=False, capture_output=True, text=True)
    if finished.returncode != 0:
        shutil.rmtree(folder)
        if _index_answers():
            raise SystemExit(f"{name}: {lock} cannot be installed\n{finished.stderr}")
        return None
    done.touch()
    _remove_old(name, folder.parent)
    return python


def run_suite(name: str, arguments: list[str]) -> int:
    """Run the suite in one environment; returns pytest's exit code, 0 when it is skipped."""
    python = make_environment(name)
    if python is None:
        _say(f"{name}: SKIPPED, no package index can be reached and no environment is cached")
        return 0
    program = f"for name in {PACKAGES}: print(name, __import__(name).__version__, end='  ')"
    versions = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True)
    _say(f"{name}: {versions.stdout.strip()}")
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *SUITE, *arguments]
    return subprocess.run(command, check=False, cwd=ROOT).returncode


def renew_locks() -> None:
    """Resolve both locks, with hashes and without naming an index."""
    for name in NAMES:
        command = [
            sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--upgrade",
            "--generate-hashes", "--no-emit-index-url", "--no-header", "--no-annotate",
            "--universal", "--python-version", "3.11", f"{name}.in", "-o", f"{name}.txt",
        ]  # fmt: skip
        subprocess.run(command, check=True, cwd=HERE)


def main() -> None:
    """Renew the locks, or run the suite in the environments that are named (all by default)."""
    parser = argparse.ArgumentParser(description=__doc__, usage="%(prog)s [--lock] [NAME ...]")
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help="kaggle, newest")
    parser.add_argument("--lock", action="store_true", help="renew the locks and end")
    options, pytest_arguments = parser.parse_known_args()
    if options.lock:
        renew_locks()
        return
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"{', '.join(sorted(unknown))}: must be one of {', '.join(NAMES)}")
    failed = [name for name in options.names if run_suite(name, pytest_arguments)]
    if failed:
        raise SystemExit(f"failed with the packages of: {', '.join(failed)}")


def _pip(python: Path | str) -> list[str]:
    return [str(python), "-m", "pip", "--disable-pip-version-check"]


def _index_answers() -> bool:
    """Whether a package that is everywhere can be had."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*_pip(sys.executable), "download", "--quiet", "--no-cache-dir", "--no-deps"]
        command += ["--dest", folder, "iniconfig"]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _remove_old(name: str, cache: Path) -> None:
    made = sorted(cache.glob(f"{name}-*"), key=os.path.getmtime, reverse=True)
    for folder in made[_KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
