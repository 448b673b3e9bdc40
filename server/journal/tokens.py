"""An attempt's tokens as arrays, put together from its segments."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from client.schema import SegmentKind
from server.journal.rows import Float16s, Ids, unpack_float16s, unpack_ids

PIECES = (
    "SELECT kind, start, count, ids, logprobs, confidence FROM segments "
    "WHERE solve_id = ? AND attempt = ? ORDER BY start, event_id"
)

KINDS = frozenset(SegmentKind)

Piece = tuple[str, int, int, bytes, bytes | None, bytes | None]


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """Ids `start` ... of an attempt's list, all sampled or all appended, as `TokenRecord` has them.

    `ids` has shape (count,); so have `logprobs` and `confidence`, NaN where the engine gave none.
    """

    kind: SegmentKind
    start: int
    ids: Ids
    logprobs: Float16s
    confidence: Float16s


@dataclass(frozen=True, slots=True)
class AttemptTokens:
    """An attempt's whole list; every array has shape (count,).

    `sampled` is the training mask; `logprobs` and `confidence` are NaN where there are none.
    `complete` is False where tokens are missing after the last of these.
    """

    ids: Ids
    sampled: NDArray[np.bool_]
    logprobs: Float16s
    confidence: Float16s
    complete: bool


def to_segments(pieces: Sequence[Piece]) -> tuple[list[StoredSegment], bool]:
    """Return the segments from the first token on, kinds alternating, and whether all joined.

    `pieces` are the rows of `PIECES`. What follows a gap is left out: nothing can go on from it.
    """
    joined = list(_joined(pieces))
    segments = [
        _segment(SegmentKind(kind), list(group))
        for kind, group in groupby(joined, key=lambda piece: str(piece[0]))
    ]
    return segments, len(joined) == len(pieces)


def join(segments: list[StoredSegment], *, complete: bool) -> AttemptTokens:
    """Return the whole list."""
    sampled = [np.full(len(s.ids), s.kind is SegmentKind.SAMPLED) for s in segments]
    empty = np.empty(0, "<f2")
    return AttemptTokens(
        ids=np.concatenate([np.empty(0, "<u4"), *(s.ids for s in segments)]),
        sampled=np.concatenate([np.empty(0, bool), *sampled]),
        logprobs=np.concatenate([empty, *(s.logprobs for s in segments)]),
        confidence=np.concatenate([empty, *(s.confidence for s in segments)]),
        complete=complete,
    )


def _joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Yield the pieces up to the first that is damaged, or begins where no other one ended."""
    position = 0
    for piece in pieces:
        if piece[1] != position or not _is_whole(piece):
            return
        position += piece[2]
        yield piece


def _is_whole(piece: Piece) -> bool:
    """Whether the arrays are as long as the row says; damage may have made anything of both."""
    kind, _, count, ids, *numbers = piece
    widths = [(ids, 4), *((each, 2) for each in numbers if each is not None)]
    return kind in KINDS and all(
        isinstance(packed, bytes) and isinstance(count, int) and len(packed) == width * count
        for packed, width in widths
    )


def _segment(kind: SegmentKind, pieces: list[Piece]) -> StoredSegment:
    return StoredSegment(
        kind=kind,
        start=pieces[0][1],
        ids=np.concatenate([unpack_ids(piece[3]) for piece in pieces]),
        logprobs=np.concatenate([_numbers(piece[4], piece[2]) for piece in pieces]),
        confidence=np.concatenate([_numbers(piece[5], piece[2]) for piece in pieces]),
    )


def _numbers(packed: bytes | None, count: int) -> Float16s:
    return np.full(count, np.nan, "<f2") if packed is None else unpack_float16s(packed)
