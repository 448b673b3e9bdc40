"""What a preload will read, and in which order."""

import glob
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from server.preload.errors import NothingToPreload
from server.preload.folder import Found, look_at, look_into
from server.preload.residency import PAGE

#: A piece is one thread's work: long enough to read in sequence, short enough to share.
DEFAULT_CHUNK_BYTES = 1 << 30
#: Threads share a model that has fewer pieces than there are threads, down to pieces of this size.
LEAST_SHARE_BYTES = 64 << 20
_SPLIT = re.compile(r"(.+-)\d{5}(-of-\d{5}\.gguf)")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of one file, in bytes; `offset` is a multiple of the page size."""

    path: Path
    offset: int
    length: int


def find_files(path: Path) -> list[Path]:
    """Return what `look` finds to read."""
    return look(path).files


def look(path: Path) -> Found:
    """Return the files of a folder, as `look_into` does; or the one, with its parts.

    Raises:
        NothingToPreload: there is nothing to read.
    """
    try:
        path = path.expanduser()
    except RuntimeError:
        raise NothingToPreload(
            f"{path}: there is no such user's home; give the model's own path"
        ) from None
    if _kind(path) == stat.S_IFREG:
        return _parts(path)
    if _kind(path) != stat.S_IFDIR:
        raise NothingToPreload(
            f"{path}: must be a file or a folder that exists; give the model's own path"
        )
    return look_into(path)


def _kind(path: Path) -> int | None:
    """Return the type of what is at a path; None where nothing is, or no such path can be.

    Raises:
        NothingToPreload: what is there is hidden, or cannot be read now.
    """
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        raise NothingToPreload(f"{path}: must be readable: {error.strerror}") from error


def _parts(path: Path) -> Found:
    """Return the file, with the others that llama.cpp's splits of a model have beside it."""
    split = _SPLIT.fullmatch(path.name)
    if split is None:
        return Found([path])
    names = glob.escape(split[1]) + "[0-9]" * 5 + glob.escape(split[2])
    # A folder may let its files be read and not be listed.
    found = look_at({path, *path.parent.glob(names)})
    found.files.sort()
    return found


def cut(files: list[Path], chunk_bytes: int = DEFAULT_CHUNK_BYTES, threads: int = 1) -> list[Piece]:
    """Cut files into pieces of at most `chunk_bytes`, rounded up to whole pages; see `_share`.

    Raises:
        NothingToPreload: a file has gone.
    """
    sizes = [(file, _size(file)) for file in files]
    most = min(chunk_bytes, _share(sum(size for _, size in sizes), threads))
    chunk = max(-(-most // PAGE) * PAGE, PAGE)
    return [
        Piece(file, offset, min(chunk, size - offset))
        for file, size in sizes
        for offset in range(0, size, chunk)
    ]


def _share(size: int, threads: int) -> int:
    """Return the bytes of each thread's share, so that none idles beside one large file."""
    return max(-(-size // threads), LEAST_SHARE_BYTES)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError as error:
        raise NothingToPreload(f"{file}: must be readable: {error.strerror}") from error
