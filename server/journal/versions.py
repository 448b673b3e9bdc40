"""What works on a solve, as `solve.requested` tells it."""

import hashlib
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from client.schema import SolveVersions
from server.prompts import sets
from server.settings import Settings

#: The sections of the settings that change what comes out of a solve.
SECTIONS = {"engine", "sandbox", "solve"}


def versions_of(settings: Settings, model_path: Path) -> SolveVersions:
    """Return the versions of program, model, prompts and settings.

    The weights are told by name and size: reading gigabytes to hash them is not worth the wait.
    """
    in_force = settings.model_dump(mode="json", include=SECTIONS)
    # A path would tell where things are on this machine, which changes nothing.
    in_force["engine"]["model"] = Path(settings.engine.model).name
    return SolveVersions(
        quorum=version("quorum-aimo"),
        model_file=model_path.name,
        model_bytes=model_path.stat().st_size,
        prompts=prompts_digest(),
        settings=in_force,
    )


@cache
def prompts_digest() -> str:
    """Return the SHA-256 of all prompt texts with their names, in hexadecimal."""
    digest = hashlib.sha256()
    folder = files("server.prompts")
    for chosen in ("", *sets()):
        texts = [entry for entry in (folder / chosen).iterdir() if entry.name.endswith(".md")]
        for entry in sorted(texts, key=lambda entry: entry.name):
            name = f"{chosen}/{entry.name}" if chosen else entry.name
            digest.update(name.encode() + b"\0" + entry.read_bytes() + b"\0")
    return digest.hexdigest()
