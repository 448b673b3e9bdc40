"""What a model's folder holds to read, in the order in which an engine wants it."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from server.preload.errors import NothingToPreload
from server.preload.whole import INDEX_END, index_parts

#: Ends of weight files' names, of the formats that engines read.
_WEIGHT_ENDS = (".safetensors", ".gguf", ".bin", ".pt", ".pth")


@dataclass(frozen=True, slots=True)
class Found:
    """Files to read, in their order; links that lead nowhere; what cannot be looked at, and why."""

    files: list[Path] = field(default_factory=list)
    loose: list[Path] = field(default_factory=list)
    closed: dict[Path, str] = field(default_factory=dict)

    @property
    def failed(self) -> list[str]:
        """What will not be read, each with why."""
        loose = [f"{file}: the link leads nowhere" for file in self.loose]
        return [*loose, *(f"{path}: {reason}" for path, reason in self.closed.items())]


def look_into(top: Path) -> Found:
    """Return a folder's files, however deep, by `_ranks` and then the largest first.

    A link to a file counts as the file, as model folders of the hub's cache need; a file that
    several names lead to counts once. Links to folders are not followed: they can form circles.

    Raises:
        NothingToPreload: there is no file that can be looked at.
    """
    refused: list[OSError] = []
    names = [
        Path(folder, name)
        for folder, _, files in os.walk(top, onerror=refused.append)
        for name in sorted(files)
    ]
    found = look_at(names)
    found.closed.update((Path(error.filename), reason_of(error)) for error in refused)
    if found.files:
        return found
    for path, reason in found.closed.items():
        raise NothingToPreload(f"{path}: must be readable: {reason}")
    raise NothingToPreload(f"{top}: must hold at least one file; give the model's own path")


def look_at(names: Iterable[Path]) -> Found:
    """Return which names lead to files with something in them, each file once."""
    found = Found()
    known: dict[Path, os.stat_result] = {}
    for name in names:
        try:
            status = name.stat()
        except (FileNotFoundError, NotADirectoryError):
            # What is no link was removed since its folder was listed.
            found.loose.extend([name] if name.is_symlink() else [])
        except OSError as error:
            found.closed[name] = reason_of(error)
        else:
            if stat.S_ISREG(status.st_mode) and status.st_size:
                known[name] = status
    ranks = _ranks(known)
    order = sorted(known, key=lambda name: (ranks[name], -known[name].st_size, name))
    once: dict[tuple[int, int], Path] = {}
    for name in order:
        # Of several names the one that comes first: a blob is read as the shard that it is.
        once.setdefault((known[name].st_dev, known[name].st_ino), name)
    found.files.extend(once.values())
    return found


def _ranks(files: Iterable[Path]) -> dict[Path, int]:
    """Return how late each file is wanted.

    0: weights of the model itself, those that its index names where it has one; 1: what stands
    beside them; 2: all else, as a snapshot's copies in other formats (`original/`, `metal/`).
    """
    files = list(files)
    model = _model_weights(files)
    homes = {weight.parent for weight in model}
    return {file: 0 if file in model else 1 if file.parent in homes else 2 for file in files}


def _model_weights(files: list[Path]) -> set[Path]:
    """Return the weights that stand least deep; where indexes stand there, what they name."""
    telling = [file for file in files if file.name.endswith((INDEX_END, *_WEIGHT_ENDS))]
    least = min((len(file.parts) for file in telling), default=0)
    top = [file for file in telling if len(file.parts) == least]
    indexes = [file for file in top if file.name.endswith(INDEX_END)]
    named = {index.parent / name for index in indexes for name in index_parts(index)}
    there = named.intersection(files)
    return there or {file for file in top if file not in indexes}


def reason_of(error: OSError) -> str:
    """Return the system's words for an error."""
    return error.strerror or str(error)
