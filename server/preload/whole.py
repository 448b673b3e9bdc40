"""What a model's folder should hold and does not: an engine would find out minutes later."""

import os
from pathlib import Path

import orjson

_INDEXES = "*.safetensors.index.json"


def missing_files(path: Path) -> list[str]:
    """Return what is not there, each with how that is known; nothing for a path of one file.

    Links that lead nowhere (the hub's cache without a blob), and parts that an index of weights
    names. An index that cannot be read names none: the engine says what is wrong with it.
    """
    path = path.expanduser()
    gone = [
        f"{file}: the link leads nowhere"
        for folder, _, names in os.walk(path)
        for file in (Path(folder, name) for name in sorted(names))
        if file.is_symlink() and not file.exists()
    ]
    for index in sorted(path.glob(_INDEXES)):
        parts = (path / name for name in sorted(_parts(index)))
        gone += [
            f"{part}: is missing, {index.name} names it"
            for part in parts
            if not os.path.lexists(part)
        ]
    return gone


def _parts(index: Path) -> set[str]:
    try:
        return {str(name) for name in orjson.loads(index.read_bytes())["weight_map"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()
