"""Which parts of a file are in the page cache, by mincore(2)."""

import ctypes
import errno
import mmap
import os
from collections.abc import Iterator

import numpy

PAGE = mmap.PAGESIZE


def is_told(descriptor: int) -> bool:
    """Whether the kernel tells this process the truth about a file's pages.

    Since Linux 5.2 mincore calls every page resident unless the caller owns the file, may write to
    it, or may act as its owner (mm/mincore.c, can_do_mincore).
    """
    if os.geteuid() in (0, os.fstat(descriptor).st_uid):
        return True
    try:
        return os.access(f"/proc/self/fd/{descriptor}", os.W_OK, effective_ids=True)
    except (OSError, NotImplementedError):
        return False


def shorter() -> OSError:
    """Return the error of a file of which there is less than there was."""
    return OSError(errno.ESTALE, "it has become shorter since it was looked at")


def missing(descriptor: int, offset: int, length: int) -> Iterator[tuple[int, int]]:
    """Yield the stretches, as (offset, length) in bytes, that are not in the page cache.

    `offset` must be a multiple of the page size. Where the kernel does not tell (`is_told`) or has
    no mincore, everything is missing: reading what is there already costs little.

    Raises:
        OSError: the file cannot be mapped.
    """
    pages = _pages(descriptor, offset, length)
    if pages is None:
        yield offset, length
        return
    edges = numpy.flatnonzero(numpy.diff(numpy.concatenate(([1], pages, [1]))))
    for first, last in edges.reshape(-1, 2).tolist():
        start = offset + first * PAGE
        yield start, min(offset + last * PAGE, offset + length) - start


def missing_bytes(descriptor: int, offset: int, length: int) -> int:
    """Return how much of a stretch is not in the page cache, in bytes. Raises OSError."""
    return sum(size for _, size in missing(descriptor, offset, length))


def _pages(
    descriptor: int, offset: int, length: int
) -> "numpy.ndarray[tuple[int], numpy.dtype[numpy.int8]] | None":
    """Return 1 for each resident page of the stretch and 0 for the others; None if unknown."""
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "mincore") or not is_told(descriptor):
        return None
    count = -(-length // PAGE)
    answer = numpy.zeros(count, dtype=numpy.uint8)
    try:
        mapped = mmap.mmap(descriptor, length, prot=mmap.PROT_READ, offset=offset)
    except ValueError as error:
        # The module compares with the file's size as it is now.
        raise shorter() from error
    with mapped:
        view = numpy.frombuffer(mapped, dtype=numpy.uint8)
        code = library.mincore(
            ctypes.c_void_p(view.ctypes.data),
            ctypes.c_size_t(length),
            ctypes.c_void_p(answer.ctypes.data),
        )
        del view  # a mapping with a view on it cannot be closed
    if code != 0:
        return None
    return (answer & 1).astype(numpy.int8)
