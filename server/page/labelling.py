"""`/label` and `…/label`: attempts and continuations, read and labelled with keys."""

from dataclasses import replace
from functools import partial

from fastapi import Request, Response

from server.journal.reader import JournalReader
from server.labels.store import LabelStore
from server.page.answering import Journal, frame_of, page_router, sent, spelling_of
from server.page.comparing import Place, continuations, places, read_row
from server.page.datasets import MOST_AT, data_folder
from server.page.files import DataFile, DataKind, find_file, find_files
from server.page.passages import parts, passages
from server.page.render import Frame
from server.page.solves import Spelling, find_attempt, no_text
from server.page.store import token_pieces
from server.page.tokens import tokens
from server.page.view import NotThere, View
from server.page.visible import visible

router = page_router()
#: Positions that the list of a file shows; keys lead on to the rest.
LISTED = 50
#: Tokens of an attempt that can be labelled; no attempt has more.
MOST_TOKENS = 2**40


@router.get("/label")
async def listing(request: Request, read: Journal) -> Response:
    """List the alternates that wait to be compared, and say how attempts are labelled."""
    folder = data_folder(request)
    frame = frame_of(request, "Label", "label")
    store: LabelStore = request.app.state.labels

    def work() -> str:
        there = folder is not None and folder.is_dir()
        files = find_files(folder) if folder is not None and there else []
        labels = store.find()
        found: list[tuple[DataFile, list[Place], int]] = []
        for file in files:
            if file.kind is DataKind.ALTERNATES:
                waiting = places(file, labels)
                found.append((file, waiting[:LISTED], len(waiting)))
        context = {"files": found, "labels": len(labels), "folder": str(folder or "")}
        return View("labels.html", frame, context).html()

    return sent(request, await read.make(work), "labels.html")


@router.get("/label/{name:path}")
async def compare(request: Request, read: Journal, name: str, at: int = 0) -> Response:
    """Show a position and its continuations, to be compared."""
    folder = data_folder(request)
    frame = frame_of(request, "Compare continuations", "label", "comparing.js")
    store: LabelStore = request.app.state.labels

    def work() -> str:
        if folder is None:
            raise NotThere("no folder of training data is named")
        file = find_file(folder, name)
        row = read_row(file, min(max(at, 0), MOST_AT))
        waiting = [each for each in places(file, store.find()) if each.at != at]
        shown = {key: visible(row.get(key) or "") for key in ("problem", "before", "truth")}
        context = {
            **shown, "file": file, "row": row, "continuations": continuations(row),
            "following": waiting[0].at if waiting else None, "left": len(waiting),
        }  # fmt: skip
        return View("comparing.html", frame, context).html()

    return sent(request, await read.make(work), "comparing.html")


@router.get("/solves/{solve_id}/attempts/{attempt}/label")
async def attempt(
    request: Request, read: Journal, solve_id: str, attempt: int, part: int = 1
) -> Response:
    """Show an attempt in passages, to be labelled."""
    await read.written()
    frame = frame_of(request, f"Label attempt {attempt}", "solves")
    spelling = spelling_of(request)
    work = partial(
        _attempt, frame=frame, solve_id=solve_id, number=attempt, part=part, spelling=spelling
    )
    return sent(request, await read(work), "labelling.html")


def _attempt(
    reader: JournalReader,
    frame: Frame,
    solve_id: str,
    number: int,
    part: int,
    spelling: Spelling,
) -> str:
    solve, found, siblings = find_attempt(reader, solve_id, number)
    vocabulary = spelling.of(solve)
    if vocabulary is not None:
        frame = replace(frame, script="labelling.js")
    pieces = token_pieces(reader, solve.id, number)
    whole = tokens(pieces, vocabulary, 0, MOST_TOKENS) if vocabulary is not None else ()
    made = parts(passages(whole))
    if not 1 <= part <= len(made):
        raise NotThere(f"attempt {number} of {solve.id} has {len(made)} parts, no part {part}")
    context = {
        "solve": solve, "attempt": found, "siblings": siblings, "tab": "label",
        "passages": made[part - 1], "part": part, "count": len(made),
        "no_text": "" if vocabulary else no_text(solve, spelling),
    }  # fmt: skip
    return View("labelling.html", frame, context).html()
