"""The folder that is uploaded: flat, as Kaggle takes it, and the same for the same content.

Folders become archives, which Kaggle unpacks again. It lies in the user's cache under a name made
of its content, so that an upload that was cut goes on where it was.
"""

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from kaggle_notebook.bundle.manifest import sha256_of
from kaggle_notebook.errors import PublishError

CHECKSUMS = "checksums.json"
#: The earliest time that an archive can say; the upload's resume compares times.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MTIME = 315_532_800
#: Wheels and weights do not get smaller by packing.
_METHOD = zipfile.ZIP_STORED
GB = 10**9


@dataclass(frozen=True, slots=True)
class Upload:
    """What is uploaded from a folder: SHA-256 and size in bytes by path, with slashes."""

    folder: Path
    files: Mapping[str, tuple[str, int]]

    @property
    def size_bytes(self) -> int:
        """The size of all files."""
        return sum(size for _, size in self.files.values())

    @property
    def digest(self) -> str:
        """A SHA-256 over all names and bytes."""
        listing = "".join(f"{sha} {name}\n" for name, (sha, _) in sorted(self.files.items()))
        return hashlib.sha256(listing.encode()).hexdigest()

    def lines(self, most: int = 12) -> Iterator[str]:
        """Yield the files for a person, the largest first."""
        by_size = sorted(self.files.items(), key=lambda item: (-item[1][1], item[0]))
        for name, (sha, size) in by_size[:most]:
            yield f"  {name}  {size:,} bytes  sha256 {sha[:16]}…"
        if len(by_size) > most:
            yield f"  and {len(by_size) - most} more"
        yield f"  {len(by_size)} files, {self.size_bytes / GB:.2f} GB, sha256 {self.digest}"


def inspect(folder: Path) -> Upload:
    """Read a folder's files and their hashes.

    Raises:
        PublishError: it is none, is empty, or a file cannot be read.
    """
    if not folder.is_dir():
        raise PublishError(f"{folder}: is no folder; name the one to upload")
    files = {}
    try:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and not name.endswith("-metadata.json"):
                files[name] = (sha256_of(path), path.stat().st_size)
    except OSError as error:
        raise PublishError(
            f"{error.filename or folder}: cannot be read ({error.strerror})"
        ) from error
    if not files:
        raise PublishError(f"{folder}: is empty; name the folder to upload")
    return Upload(folder, files)


def stage(upload: Upload, metadata: Mapping[str, Mapping[str, Any]]) -> Path:
    """Lay out a folder for the upload, with metadata files by name; return it.

    Raises:
        PublishError: the cache cannot be written.
    """
    folder = user_cache_path("quorum") / "kaggle" / upload.digest[:24]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for entry in sorted(upload.folder.iterdir()):
            if entry.is_dir():
                _archive(entry, folder / f"{entry.name}.zip")
            elif not entry.name.endswith("-metadata.json"):
                _link(entry, folder / entry.name)
        sums = {name: {"sha256": sha, "size_bytes": n} for name, (sha, n) in upload.files.items()}
        _write(folder / CHECKSUMS, {"files": sums})
        for name, value in metadata.items():
            _write(folder / name, value)
    except OSError as error:
        raise PublishError(
            f"{folder}: cannot be written ({error.strerror}); free some space in the cache"
        ) from error
    return folder


def discard(folder: Path) -> None:
    """Remove a folder that was uploaded."""
    shutil.rmtree(folder, ignore_errors=True)


def _link(path: Path, target: Path) -> None:
    if target.is_symlink() or target.exists():
        target.unlink()
    target.symlink_to(path.absolute())


def _archive(folder: Path, target: Path) -> None:
    """Pack a folder, always into the same bytes; an archive that is whole already stays."""
    if target.exists():
        return
    beside = target.with_name(f"{target.name}.{os.getpid()}.new")
    with zipfile.ZipFile(beside, "w", _METHOD) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH)
                with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as out:
                    shutil.copyfileobj(source, out, 1 << 20)
    beside.replace(target)
    os.utime(target, (_MTIME, _MTIME))


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.utime(path, (_MTIME, _MTIME))
