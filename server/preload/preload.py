"""The preload: all files of a model, in parallel, up to the limit of free memory.

What scales with what: the number of threads with the disk's queue (eight filled every disk that
was measured), not with cores: they only wait.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import anyio
import anyio.to_thread

from server.preload.errors import PreloadError
from server.preload.memory import available_bytes, default_keep_free_bytes
from server.preload.plan import DEFAULT_CHUNK_BYTES, Piece, cut, look
from server.preload.reader import Tally, read_piece
from server.preload.whole import missing_parts

DEFAULT_THREADS = 8
MOST_THREADS = 256
#: Files that could not be read, of which the outcome's sentence names so many.
MOST_NAMED = 5
#: Between two looks at the counters, in seconds.
PROGRESS_EVERY_S = 0.1


class PreloadEnd(StrEnum):
    """Why a preload ended."""

    COMPLETE = "complete"
    """Everything was in the page cache, or was read."""
    MEMORY = "memory"
    """Reading on would have left less free memory than was to be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreloadOptions:
    """How to read; `keep_free_bytes` None keeps 2 GiB or 5 % of all memory, the larger.

    Raises:
        PreloadError: the number of threads is out of its range.
    """

    threads: int = DEFAULT_THREADS
    chunk_bytes: int = DEFAULT_CHUNK_BYTES
    keep_free_bytes: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= MOST_THREADS:
            raise PreloadError(
                f"{self.threads} preload threads: must be from 1 to {MOST_THREADS}; leave it out"
                f" for {DEFAULT_THREADS}"
            )


@dataclass(frozen=True, slots=True)
class PreloadState:
    """How far it is: bytes in all, found resident, read; `failed` files could not be read."""

    total: int
    resident: int
    read: int
    seconds: float
    end: PreloadEnd | None = None
    failed: tuple[str, ...] = ()

    @property
    def bytes_per_s(self) -> float:
        """What was read, in bytes a second."""
        return self.read / self.seconds if self.seconds else 0.0


class MemoryGuard:
    """Says whether another step fits, looking at the machine's memory at most every 50 ms.

    Page cache counts as available, that which this preload has filled too: what it holds is
    subtracted, or it would read on and push out its own beginning.
    """

    def __init__(
        self, tally: Tally, keep_free_bytes: int, available: Callable[[], int] = available_bytes
    ) -> None:
        self._tally = tally
        self._keep = keep_free_bytes
        self._available = available
        self._lock = threading.Lock()
        self._looked = 0.0
        self._fits = True
        #: It has refused a step.
        self.refused = False

    def may_go_on(self) -> bool:
        """Return whether reading on keeps enough memory free; for good False once it is not."""
        with self._lock:
            now = time.monotonic()
            if self._fits and now - self._looked > 0.05:
                self._looked = now
                held = self._tally.resident + self._tally.read
                self._fits = self._available() - held > self._keep
            self.refused = self.refused or not self._fits
            return self._fits


async def preload(
    path: Path,
    options: PreloadOptions | None = None,
    on_progress: Callable[[PreloadState], None] = lambda _: None,
) -> PreloadState:
    """Bring every file under `path` into the page cache, the model's own weights first.

    Cancelled, it stops its threads within one step (16 MiB each). `on_progress` is called from the
    event loop about ten times a second, and once at the end.

    Raises:
        NothingToPreload: the path holds no file.
    """
    options = options or PreloadOptions()
    pieces, gone = await anyio.to_thread.run_sync(_look, path, options)
    keep = options.keep_free_bytes
    tally = Tally()
    guard = MemoryGuard(tally, default_keep_free_bytes() if keep is None else keep)
    run = _Run(pieces, tally, guard, gone)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_watch, run, on_progress)
            await _read_all(run, options.threads)
            group.cancel_scope.cancel()
    finally:
        # The threads are not the loop's: they stop at their next step by themselves.
        tally.stop.set()
    state = run.state(PreloadEnd.MEMORY if guard.refused else PreloadEnd.COMPLETE)
    on_progress(state)
    return state


class _Run:
    """The work of one preload, shared by its threads; `gone` is what there is not to read."""

    def __init__(
        self, pieces: list[Piece], tally: Tally, guard: MemoryGuard, gone: list[str]
    ) -> None:
        self.pieces: Iterator[Piece] = iter(pieces)
        self.tally = tally
        self.guard = guard
        self._lock = threading.Lock()
        self._total = sum(piece.length for piece in pieces)
        self._begun = time.monotonic()
        self._failed = dict.fromkeys(gone)

    def work(self) -> None:
        """Read pieces until none is left; in a thread."""
        while not self.tally.stop.is_set():
            with self._lock:
                piece = next(self.pieces, None)
            if piece is None:
                return
            try:
                read_piece(piece, self.tally, self.guard.may_go_on)
            except OSError as error:
                with self._lock:
                    self._failed[f"{piece.path}: {error.strerror}"] = None

    def state(self, end: PreloadEnd | None = None) -> PreloadState:
        """Return how far it is."""
        seconds = time.monotonic() - self._begun
        tally = self.tally
        failed = tuple(self._failed)
        return PreloadState(self._total, tally.resident, tally.read, seconds, end, failed)


def _look(path: Path, options: PreloadOptions) -> tuple[list[Piece], list[str]]:
    found = look(path)
    pieces = cut(found.files, options.chunk_bytes, options.threads)
    return pieces, [*found.failed, *missing_parts(path)]


async def _read_all(run: _Run, threads: int) -> None:
    limiter = anyio.CapacityLimiter(threads)
    async with anyio.create_task_group() as group:
        for _ in range(threads):
            group.start_soon(_in_thread, run, limiter)


async def _in_thread(run: _Run, limiter: anyio.CapacityLimiter) -> None:
    await anyio.to_thread.run_sync(run.work, limiter=limiter, abandon_on_cancel=True)


async def _watch(run: _Run, on_progress: Callable[[PreloadState], None]) -> None:
    while True:
        on_progress(run.state())
        await anyio.sleep(PROGRESS_EVERY_S)


def describe(state: PreloadState) -> str:
    """Return the outcome of a preload as one sentence."""
    unit, name = (1 << 30, "GiB") if state.total >= 1 << 30 else (1 << 20, "MiB")
    cached = (
        f"{(state.resident + state.read) / unit:.2f} of {state.total / unit:.2f} {name} in the page"
        f" cache ({state.resident / unit:.2f} were there; {state.read / unit:.2f} read in"
        f" {state.seconds:.1f} s, {state.bytes_per_s / 1e9:.2f} GB/s)"
    )
    parts = [cached]
    if state.end is PreloadEnd.MEMORY:
        parts.append("stopped to keep memory free: lower --keep-free, or free memory")
    parts += [f"not read: {one}" for one in state.failed[:MOST_NAMED]]
    if len(state.failed) > MOST_NAMED:
        parts.append(f"and {len(state.failed) - MOST_NAMED} more not read")
    return "; ".join(parts)
