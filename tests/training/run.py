"""Training with torch: its tests and the whole way on a tiny model, in an environment of their own.

    make train-check

The environment is made once, in the user's cache: this interpreter's packages, and on top a torch
and what the extra `train` needs with it, in the versions of its lock. Any build of torch does, the
one for processors too; the lock's own is several gigabytes with its libraries for GPUs, so an older
one is asked for, which registries for machines without a GPU have. Where none can be had, that is
said and nothing is run.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from platformdirs import user_cache_path

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements" / "train.txt"
#: The newest that is published for processors alone where this was written.
TORCH = "torch==2.13.0"
WITH_TORCH = ("accelerate", "peft", "trl")
SUITE = (
    "tests/training/test_local.py",
    "tests/training/test_local_policy.py",
    "tests/training/test_merge_transformers.py",
)


def wanted() -> list[str]:
    """Return what is installed on top: torch, and the lock's versions of what needs it."""
    locked = dict(re.findall(r"^([\w-]+)==(\S+)", LOCK.read_text(encoding="utf-8"), re.MULTILINE))
    return [TORCH, *(f"{name}=={locked[name]}" for name in WITH_TORCH)]


def make_environment() -> Path | None:
    """Return the interpreter of the environment, made now if need be; None where it cannot be."""
    here = sysconfig.get_path("purelib")
    mark = "\n".join([*wanted(), sys.version, here, str(ROOT)])
    folder = user_cache_path("quorum") / "training" / hashlib.sha256(mark.encode()).hexdigest()[:12]
    python, done = folder / "bin" / "python", folder / ".done"
    if done.exists():
        return python
    venv.create(folder, clear=True, with_pip=True)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "quorum.pth").write_text(f"{here}\n{ROOT}\n", encoding="utf-8")
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for packages in ([TORCH], wanted()):
        finished = subprocess.run(
            [*install, *packages], check=False, capture_output=True, text=True
        )
        if finished.returncode != 0:
            sys.stdout.write(f"{' '.join(packages)} cannot be installed:\n{finished.stderr}\n")
            shutil.rmtree(folder)
            return None
    done.touch()
    return python


def main() -> None:
    """Run the tests, then the whole way; exits with the first failure's code."""
    python = make_environment()
    if python is None:
        sys.stdout.write("SKIPPED: training needs torch\n")
        return
    tests = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *SUITE]
    for command in (tests, [str(python), "-m", "benchmarks.training"]):
        code = subprocess.run(command, check=False, cwd=ROOT).returncode
        if code:
            raise SystemExit(code)


if __name__ == "__main__":
    main()
