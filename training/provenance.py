"""Where an output comes from: versions, settings and inputs, written beside it."""

import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from training.files import sha256

#: Packages whose versions can change what a step yields.
PACKAGES = (
    "quorum-aimo", "numba", "numpy", "peft", "pyarrow", "safetensors", "tinker", "tokenizers",
    "torch", "transformers", "trl",
)  # fmt: skip


def provenance(
    step: str, settings: Mapping[str, Any], inputs: Iterable[Path] = ()
) -> dict[str, Any]:
    """Return what is known of how an output was made; files are named with size and SHA-256."""
    return {
        "step": step,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": dict(settings),
        "inputs": [of_file(path) for path in inputs],
        "versions": versions(),
    }


def of_file(path: Path) -> dict[str, Any]:
    """Return a file's name, size and SHA-256."""
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
