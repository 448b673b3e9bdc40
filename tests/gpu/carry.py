"""Carries wheels to a GPU machine without a network, in pieces of a bounded size.

    python -m tests.gpu.carry pack WHEELS PIECES --most-mib 48   # here
    python3 -m tests.gpu.carry keep PIECES/000 STORE             # there, once a piece
    python3 -m tests.gpu.carry install STORE SITE                # there, at last

A wheel larger than a piece is split; `install` joins the parts, checks every hash and unpacks the
wheels into a folder for PYTHONPATH. Needs nothing but the standard library.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MIB = 2**20
INDEX = "index.json"


def pack(wheels: Path, pieces: Path, most_bytes: int) -> int:
    """Write the wheels of a folder as pieces `000`, `001` …; return how many."""
    index: dict[str, Any] = {}
    number, room = -1, 0
    for wheel in sorted(wheels.glob("*.whl")):
        parts: list[str] = []
        for data in _blocks(wheel, most_bytes):
            if len(data) > room:
                number, room = number + 1, most_bytes
            name = f"{wheel.name}.{len(parts):03}"
            folder = pieces / f"{number:03}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
            parts.append(name)
            room -= len(data)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        index[wheel.name] = {"parts": parts, "sha256": digest}
    for folder in pieces.iterdir():
        (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")
    return number + 1


def _blocks(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        while data := file.read(size):
            yield data


def keep(piece: Path, store: Path) -> list[str]:
    """Move a piece into a store; return what of the wheels is still missing there."""
    store.mkdir(parents=True, exist_ok=True)
    for file in piece.iterdir():
        shutil.copy2(file, store / file.name)
    return missing(store)


def missing(store: Path) -> list[str]:
    """Return the parts that a store lacks."""
    index = json.loads((store / INDEX).read_text("utf-8"))
    named = [part for wheel in index.values() for part in wheel["parts"]]
    return [part for part in named if not (store / part).is_file()]


def join(store: Path, wheels: Path) -> list[Path]:
    """Put the wheels of a store together.

    Raises:
        ValueError: a part is missing, or a wheel is not what was packed.
    """
    lacking = missing(store)
    if lacking:
        raise ValueError(f"{len(lacking)} parts are missing, the first {lacking[0]}: keep them all")
    wheels.mkdir(parents=True, exist_ok=True)
    joined = []
    for name, wheel in json.loads((store / INDEX).read_text("utf-8")).items():
        data = b"".join((store / part).read_bytes() for part in wheel["parts"])
        if hashlib.sha256(data).hexdigest() != wheel["sha256"]:
            raise ValueError(f"{name} is not what was packed: pack and keep it again")
        (wheels / name).write_bytes(data)
        joined.append(wheels / name)
    return joined


def install(store: Path, site: Path) -> None:
    """Unpack all wheels of a store into a folder, without a network and without dependencies."""
    wheels = join(store, store / "wheels")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    command += ["--no-compile", "--no-cache-dir", "--upgrade", "--target", str(site)]
    subprocess.run([*command, *map(str, wheels)], check=True)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["pack", "keep", "install"])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--most-mib", type=int, default=48)
    given = parser.parse_args()
    if given.action == "pack":
        count = pack(given.source, given.target, given.most_mib * MIB)
        sys.stdout.write(f"{count} pieces in {given.target}\n")
    elif given.action == "keep":
        lacking = keep(given.source, given.target)
        sys.stdout.write(f"{len(lacking)} parts to come\n")
    else:
        install(given.source, given.target)


if __name__ == "__main__":
    main()
