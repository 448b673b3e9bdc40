"""`/solves/…/attempts/…` and `/compare`: attempts by message, by token, and side by side."""

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from client.schema import attempt_name
from server.journal.reader import JournalReader
from server.page.answering import Journal, frame_of, page_router, sent, spelling_of
from server.page.compare import compare_view
from server.page.links import attempt_file, tokens_file
from server.page.showing import find_handle
from server.page.solves import (
    attempt_view,
    find_attempt,
    token_chunk,
    tokens_view,
    vocabulary_of,
)
from server.page.store import token_count, token_pieces
from server.page.tokens import CHUNK, find

router = page_router()
#: Longest text that is searched for in an attempt, in characters.
MOST_SEARCHED = 200
#: No attempt is longer.
MOST_START = 2**40


@router.get("/solves/{solve_id}/attempts/{attempt}")
async def messages(
    request: Request, read: Journal, solve_id: str, attempt: int, part: int = 1
) -> Response:
    """Show an attempt message by message."""
    handle = find_handle(request, solve_id)
    events = list(handle.events.events) if handle else []
    await read.written()
    frame = frame_of(request, f"{attempt_name(attempt).capitalize()} of {solve_id}", "solves")

    def work(reader: JournalReader) -> str:
        return attempt_view(reader, frame, solve_id, attempt, part, events).html()

    return sent(request, await read(work), attempt_file(solve_id, attempt))


@router.get("/solves/{solve_id}/attempts/{attempt}/tokens")
async def tokens(request: Request, read: Journal, solve_id: str, attempt: int) -> Response:
    """Show an attempt token by token."""
    await read.written()
    frame = frame_of(request, f"Tokens of {attempt_name(attempt)}", "solves", "tokens.js")
    spelling = spelling_of(request)

    def work(reader: JournalReader) -> str:
        return tokens_view(reader, frame, solve_id, attempt, spelling).html()

    return sent(request, await read(work), tokens_file(solve_id, attempt))


@router.get("/solves/{solve_id}/attempts/{attempt}/tokens.json")
async def chunk(
    request: Request, read: Journal, solve_id: str, attempt: int, start: int = 0
) -> Response:
    """Send a stretch of tokens: id, text, sampled, turn, probability, confidence of each.

    Null is in the place of one that the journal had to leave out, as on a full disk.
    """
    spelling = spelling_of(request)

    def work(reader: JournalReader) -> list[list[object] | None]:
        solve, found, _ = find_attempt(reader, solve_id, attempt)
        first = min(max(start, 0), MOST_START)
        stop = min(first + CHUNK, token_count(reader, solve.id, found.attempt))
        vocabulary = vocabulary_of(reader, spelling, solve, attempt)
        made = token_chunk(reader, solve.id, found.attempt, vocabulary, first, stop)
        there = {token.position: token.as_list() for token in made}
        return [there.get(position) for position in range(first, stop)]

    return JSONResponse(await read(work))


@router.get("/solves/{solve_id}/attempts/{attempt}/find.json")
async def search(
    request: Request, read: Journal, solve_id: str, attempt: int, text: str = ""
) -> Response:
    """Send the positions of the tokens in which a text begins."""
    spelling = spelling_of(request)

    def work(reader: JournalReader) -> list[int]:
        solve, found, _ = find_attempt(reader, solve_id, attempt)
        vocabulary = vocabulary_of(reader, spelling, solve, attempt)
        if vocabulary is None:
            return []
        pieces = token_pieces(reader, solve.id, found.attempt)
        return find(pieces, vocabulary, text[:MOST_SEARCHED])

    return JSONResponse(await read(work))


@router.get("/compare")
async def compare(request: Request, read: Journal, a: str = "", b: str = "") -> Response:
    """Show two attempts side by side."""
    await read.written()
    frame = frame_of(request, "Two attempts", "solves")
    spelling = spelling_of(request)

    def work(reader: JournalReader) -> str:
        return compare_view(reader, frame, a, b, spelling).html()

    return sent(request, await read(work), "comparison.html")
