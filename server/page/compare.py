"""Two attempts side by side, and the place where they part."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from server.journal.reader import JournalReader, StoredAttempt, StoredSolve
from server.journal.rows import Ids
from server.page.blocks import Block, Blocks
from server.page.render import Frame, number
from server.page.solves import Spelling, find_attempt, token_chunk
from server.page.store import TokenPiece, attempt_events, token_pieces
from server.page.tokens import Token
from server.page.view import NotThere, View
from server.page.visible import tail

#: Tokens shown of each side after the place where they part.
NEXT_TOKENS = 60
#: Tokens before it, which both have.
COMMON_TOKENS = 120
#: Characters of each side's transcript.
SIDE_CHARS = 60_000


@dataclass(frozen=True, slots=True)
class Parting:
    """Where two token lists part: `position` is of the first token that differs."""

    position: int
    sentence: str
    common: str


@dataclass(frozen=True, slots=True)
class Side:
    """One of the attempts."""

    solve: StoredSolve
    attempt: StoredAttempt
    next: list[Token]
    blocks: list[Block]
    cut: bool


def named(text: str) -> tuple[str, int]:
    """Return the solve and the attempt that `solve:attempt` names.

    Raises:
        NotThere: it is not of that form.
    """
    solve_id, colon, attempt = text.rpartition(":")
    if not (colon and solve_id and attempt.isascii() and attempt.isdigit() and len(attempt) < 10):
        raise NotThere(f"{text[:80]!r} names no attempt: write solve:attempt, as in solve-1f2e:0")
    return solve_id, int(attempt)


def compare_view(
    reader: JournalReader, frame: Frame, left: str, right: str, spelling: Spelling
) -> View:
    """Return the comparison of two attempts, each named `solve:attempt`."""
    found = [find_attempt(reader, *named(text))[:2] for text in (left, right)]
    pieces = [token_pieces(reader, solve.id, attempt.attempt) for solve, attempt in found]
    same_model = found[0][0].model == found[1][0].model
    parting = part(pieces[0], pieces[1], same_model=same_model)
    sides = [
        _side(reader, solve, attempt, spelling, parting.position if same_model else None)
        for solve, attempt in found
    ]
    vocabulary = spelling.of(found[0][0])
    if vocabulary is not None and parting.position:
        start = max(parting.position - COMMON_TOKENS, 0)
        solve, attempt = found[0]
        both = token_chunk(reader, solve.id, attempt.attempt, vocabulary, start, parting.position)
        common = tail("".join(token.text for token in both), 400)
        parting = Parting(parting.position, parting.sentence, common)
    context = {"left": sides[0], "right": sides[1], "parting": parting}
    return View("compare.html", frame, context)


def _side(
    reader: JournalReader,
    solve: StoredSolve,
    attempt: StoredAttempt,
    spelling: Spelling,
    position: int | None,
) -> Side:
    shown: list[Token] = []
    if position is not None:
        stop = position + NEXT_TOKENS
        vocabulary = spelling.of(solve)
        shown = token_chunk(reader, solve.id, attempt.attempt, vocabulary, position, stop)
    blocks = Blocks().add_all(attempt_events(reader, solve.id, attempt.attempt)).list()
    kept: list[Block] = []
    size = 0
    for block in blocks:
        size += len(block.text)
        if kept and size > SIDE_CHARS:
            break
        kept.append(block)
    return Side(solve, attempt, shown, kept, cut=len(kept) < len(blocks))


def part(left: list[TokenPiece], right: list[TokenPiece], *, same_model: bool) -> Parting:
    """Return where two token lists part, in words too."""
    if not same_model:
        return Parting(0, "They are of different models, whose tokens cannot be compared.", "")
    ours, theirs = _ids(left), _ids(right)
    shorter = min(len(ours), len(theirs))
    if not shorter:
        return Parting(0, "The journal has no tokens of one of them.", "")
    differ = np.flatnonzero(ours[:shorter] != theirs[:shorter])
    if not len(differ):
        sentence = "They do not part: both have the same tokens."
        if _has_gap(left) or _has_gap(right):
            sentence = f"The same {number(shorter)} tokens; what follows is not all in the journal."
        elif len(ours) != len(theirs):
            sentence = f"One goes on where the other ends, after {number(shorter)} tokens."
        return Parting(shorter, sentence, "")
    position = int(differ[0])
    sampled = [_sampled_before(pieces, position) for pieces in (left, right)]
    if not sampled[0]:
        kinds = {_kind_at(pieces, position) for pieces in (left, right)}
        where = (
            "their prompts differ there"
            if kinds == {"appended"}
            else "with the first that was sampled"
        )
        return Parting(position, f"At token {number(position)}: {where}.", "")
    sentence = f"At token {number(position)}, after {number(sampled[0])} sampled tokens in common."
    return Parting(position, sentence, "")


def _ids(pieces: list[TokenPiece]) -> Ids:
    """Return the ids up to the first place at which some are missing."""
    return np.concatenate([np.empty(0, "<u4"), *(piece.ids for piece in _joined(pieces))])


def _has_gap(pieces: list[TokenPiece]) -> bool:
    return len(list(_joined(pieces))) < len(pieces)


def _joined(pieces: list[TokenPiece]) -> Iterator[TokenPiece]:
    position = 0
    for piece in pieces:
        if piece.start != position:
            return
        position += len(piece.ids)
        yield piece


def _sampled_before(pieces: list[TokenPiece], position: int) -> int:
    return sum(
        max(min(position - piece.start, len(piece.ids)), 0)
        for piece in pieces
        if piece.kind == "sampled"
    )


def _kind_at(pieces: list[TokenPiece], position: int) -> str:
    holding = (p.kind for p in pieces if p.start <= position < p.start + len(p.ids))
    return next(holding, "")
