"""Renews the lock files: one per extra, with hashes, naming no index (`make lock`)."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: Lock file -> extras it holds. sglang pins its own stack, so it is on its own.
LOCKS: dict[str, list[str]] = {
    "core": [],
    "dev": ["embedded", "plots", "kaggle", "build", "dev"],
    "embedded": ["embedded", "build"],
    "plots": ["plots"],
    "eval": ["eval"],
    "kaggle": ["kaggle"],
    "train": ["train"],
    "trackers": ["trackers"],
    "sglang": ["sglang"],
}
#: `make solve` and `make test` share an environment: what both have is the same version.
CONSTRAINED: dict[str, list[str]] = {"embedded": ["--constraint", "requirements/dev.txt"]}
#: sglang and what it pins exist for Linux only, and not for every Python: resolve for one.
PLATFORM_BOUND: dict[str, list[str]] = {
    "sglang": ["--python-version", "3.12", "--python-platform", "x86_64-manylinux_2_34"],
}
UNIVERSAL = ["--universal", "--python-version", "3.11"]


def main() -> None:
    """Resolve every lock named on the command line, or all."""
    for name in sys.argv[1:] or LOCKS:
        extras = [word for extra in LOCKS[name] for word in ("--extra", extra)]
        command = [
            sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--upgrade",
            "--generate-hashes", "--no-emit-index-url", "--no-header",
            *PLATFORM_BOUND.get(name, UNIVERSAL), *CONSTRAINED.get(name, []), *extras,
            "pyproject.toml", "-o", f"requirements/{name}.txt",
        ]  # fmt: skip
        sys.stdout.write(f"{name} ...\n")
        subprocess.run(command, check=True, cwd=HERE.parent)


if __name__ == "__main__":
    main()
