"""Views of a solve and of its attempts, from the journal or while they run."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from client.schema import AttemptEvent, Event, attempt_name
from server.journal.reader import JournalReader, StoredAttempt, StoredSolve
from server.page.blocks import Block, BlockKind, Blocks
from server.page.curves import curve
from server.page.lanes import SolveView, fold
from server.page.render import Frame
from server.page.store import (
    attempt_events,
    marks,
    scores,
    tail_events,
    token_count,
    token_pieces,
)
from server.page.tokens import BYTES_BEFORE, CHUNK, Token, tokens
from server.page.view import NotThere, View
from server.page.visible import clipped
from server.vocabulary import Vocabulary

#: Characters of a part of a transcript: 25,000 tokens, which a browser draws at once.
PART_CHARS = 100_000
#: Tokens of an exported file: more make it slow to open.
EXPORTED_TOKENS = 150_000
TITLE_CHARS = 60


@dataclass(frozen=True, slots=True)
class Spelling:
    """The vocabulary that a view of tokens has, and of which model it is; None: of any."""

    vocabulary: Vocabulary | None = None
    model: str | None = ""
    others: Mapping[str, Vocabulary] = field(default_factory=dict)
    """Of further engines, by the models that write plans."""

    def of(self, solve: StoredSolve) -> Vocabulary | None:
        """Return the vocabulary of the model that solved, where it is that one."""
        return self.vocabulary if self.model in (None, solve.model) else None


def stored_solve(reader: JournalReader, solve_id: str) -> SolveView:
    """Return a solve as the journal has it, with the newest of each attempt.

    Raises:
        UnknownSolve: it is not recorded.
    """
    stored = reader.solve(solve_id)
    view = SolveView(stored.id, live=False, created=stored.created)
    fold(view, tail_events(reader, stored.id))
    with_curves(view, reader)
    return view


def with_curves(view: SolveView, reader: JournalReader) -> None:
    """Give the lanes their lines."""
    for lane in view.lanes.values():
        lane.curve = curve(scores(reader, view.solve_id, lane.attempt))


def solve_view(view: SolveView, frame: Frame) -> View:
    """Return the view of a solve."""
    lanes = [view.lanes[number] for number in sorted(view.lanes)]
    return View("solve.html", frame, {"view": view, "lanes": lanes})


def solve_title(view: SolveView) -> str:
    """Return what the browser calls it."""
    return view.problem_id or clipped(view.problem, TITLE_CHARS) or view.solve_id


def find_attempt(
    reader: JournalReader, solve_id: str, number: int
) -> tuple[StoredSolve, StoredAttempt, list[StoredAttempt]]:
    """Return a solve, one of its attempts, and all of them.

    Raises:
        UnknownSolve, NotThere: there is none.
    """
    solve = reader.solve(solve_id)
    siblings = reader.attempts(solve.id, plans=True)
    found = next((attempt for attempt in siblings if attempt.attempt == number), None)
    if found is None:
        raise NotThere(f"solve {solve.id} has no {attempt_name(number)}")
    return solve, found, siblings


def attempt_view(
    reader: JournalReader,
    frame: Frame,
    solve_id: str,
    number: int,
    part: int = 1,
    live: Iterable[Event] = (),
) -> View:
    """Return an attempt message by message; `live` are newer events than the journal's."""
    solve, attempt, siblings = find_attempt(reader, solve_id, number)
    events = list(attempt_events(reader, solve.id, number))
    after = events[-1].id if events else 0
    newer = (
        e for e in live if isinstance(e, AttemptEvent) and e.attempt == number and e.id > after
    )
    blocks = Blocks().add_all([*events, *newer]).list()
    places = list(zip(blocks, positions(reader, attempt, blocks), strict=True))
    parts = split(places) if frame.links.served else [places]
    if not 1 <= part <= len(parts):
        raise NotThere(f"attempt {number} of {solve.id} has {len(parts)} parts, no part {part}")
    context = _about(solve, attempt, siblings, "messages")
    return View(
        "attempt.html", frame,
        context | {"blocks": parts[part - 1], "part": part, "count": len(parts)},
    )  # fmt: skip


def _about(
    solve: StoredSolve, attempt: StoredAttempt, siblings: Sequence[StoredAttempt], tab: str
) -> dict[str, object]:
    return {"solve": solve, "attempt": attempt, "siblings": siblings, "tab": tab}


Placed = tuple[Block, int | None]


def split(places: list[Placed]) -> list[list[Placed]]:
    """Return the blocks in parts of about `PART_CHARS` characters, at least one."""
    parts: list[list[Placed]] = [[]]
    size = 0
    for place in places:
        if size and size + len(place[0].text) > PART_CHARS:
            parts.append([])
            size = 0
        parts[-1].append(place)
        size += len(place[0].text)
    return parts


def positions(
    reader: JournalReader, attempt: StoredAttempt, blocks: Iterable[Block]
) -> list[int | None]:
    """Return where in the token list each block that was sampled begins, as far as it is known."""
    begins = marks(reader, attempt.solve_id, attempt.attempt)
    counts = [before for before, _ in begins]
    found: list[int | None] = []
    before = 0
    for block in blocks:
        index = bisect_right(counts, before) - 1
        known = block.kind is not BlockKind.OUTPUT and block.sampled > 0 and index >= 0
        found.append(begins[index][1] + before - counts[index] if known else None)
        before = max(before, block.sampled)
    return found


def tokens_view(
    reader: JournalReader, frame: Frame, solve_id: str, number: int, spelling: Spelling
) -> View:
    """Return an attempt token by token: places for the script, or all of it for a file."""
    solve, attempt, siblings = find_attempt(reader, solve_id, number)
    total = token_count(reader, solve.id, number)
    vocabulary = vocabulary_of(reader, spelling, solve, number)
    context = _about(solve, attempt, siblings, "tokens") | {
        "total": total,
        "chunk": CHUNK,
        "no_text": "" if vocabulary else no_text(solve, spelling),
        "curve": curve(scores(reader, solve.id, number)),
    }
    if not frame.links.served:
        stop = min(total, EXPORTED_TOKENS)
        context["groups"] = [
            token_chunk(reader, solve.id, number, vocabulary, start, min(start + CHUNK, stop))
            for start in range(0, stop, CHUNK)
        ]
        context["left_out"] = total - stop
    return View("tokens.html", frame, context)


def vocabulary_of(
    reader: JournalReader, spelling: Spelling, solve: StoredSolve, attempt: int
) -> Vocabulary | None:
    """Return the vocabulary of an attempt's tokens; a plan's are its own model's."""
    if attempt >= 0:
        return spelling.of(solve)
    return spelling.others.get(reader.writer(solve.id, attempt)["model"])


def no_text(solve: StoredSolve, spelling: Spelling) -> str:
    """Return why tokens are shown as numbers."""
    whose = f"of {solve.model}" if solve.model else "of the model"
    here = f"this server has that of {spelling.model}" if spelling.model else "none is loaded"
    return f"Tokens are shown by id: their text needs the vocabulary {whose}; {here}."


def token_chunk(
    reader: JournalReader,
    solve_id: str,
    attempt: int,
    vocabulary: Vocabulary | None,
    start: int,
    stop: int,
) -> list[Token]:
    """Return tokens `start` to `stop` of an attempt's list."""
    pieces = token_pieces(reader, solve_id, attempt, max(start - BYTES_BEFORE, 0), stop)
    return list(tokens(pieces, vocabulary, start, stop))
