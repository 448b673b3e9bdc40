"""What a model's folder should hold and does not: an engine would find out minutes later."""

import os
from pathlib import Path

import orjson

#: How the name of an index of weights ends.
INDEX_END = ".safetensors.index.json"


def missing_parts(path: Path) -> list[str]:
    """Return which parts are not there that an index of weights names; none for one file's path.

    An index that cannot be read names none: the engine says what is wrong with it.
    """
    gone: list[str] = []
    for index in sorted(path.expanduser().glob(f"*{INDEX_END}")):
        parts = (index.parent / name for name in sorted(index_parts(index)))
        gone += [
            f"{part}: is missing, {index.name} names it"
            for part in parts
            if not os.path.lexists(part)
        ]
    return gone


def index_parts(index: Path) -> set[str]:
    """Return the names of files that an index of weights names, relative to its folder."""
    try:
        return {str(name) for name in orjson.loads(index.read_bytes())["weight_map"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()
