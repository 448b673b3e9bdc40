"""What works on a solve, as `solve.requested` tells it."""

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from client.schema import SolveVersions
from server.prompts import sets
from server.settings import Settings

#: The sections of the settings that change what comes out of a solve.
SECTIONS = {"engine", "engines", "rehearsal", "sandbox", "solve"}
#: Settings that may hold paths, by section: where things are on this machine changes nothing.
PATHS = {
    "engine": ("model", "api_key_file", "python", "log", "arguments"),
    "rehearsal": ("machine", "problems"),
}
#: The folders of a path, up to its name; and what stands before the host of an address.
_FOLDERS = re.compile(r"[^\s=,:'\"]*[/\\](?=[^\s/\\])|[/\\]+(?=\s|$)")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s,]*@")


def versions_of(settings: Settings, model_path: Path) -> SolveVersions:
    """Return the versions of program, model, prompts and settings.

    The weights are told by name and size: reading gigabytes to hash them is not worth the wait.
    """
    in_force = settings.model_dump(mode="json", include=SECTIONS)
    for section, names in PATHS.items():
        _strip(in_force[section], names)
    engines = in_force["engines"]
    for further in engines.values():
        _strip(further, PATHS["engine"])
        _strip(further["rehearsal"] or {}, PATHS["rehearsal"])
    # Nobody is told who asks the servers.
    for each in (in_force["engine"], *engines.values()):
        each["urls"] = _CREDENTIALS.sub("", each["urls"])
    return SolveVersions(
        quorum=version("quorum-aimo"),
        model_file=model_path.name,
        model_bytes=model_path.stat().st_size,
        prompts=prompts_digest(),
        settings=in_force,
    )


def _strip(section: dict[str, Any], names: Iterable[str]) -> None:
    """Take the folders off the paths in some settings."""
    for name in names:
        if name in section:
            section[name] = without_folders(section[name])


def without_folders(text: str) -> str:
    """Return a text whose paths have lost all but their last parts."""
    return _FOLDERS.sub("", text)


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
