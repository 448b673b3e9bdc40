"""`/runs` and `/runs/…`: sets of problems under one clock."""

from pathlib import Path

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from server.journal.reader import JournalReader
from server.page.answering import Journal, frame_of, page_router, parts_of, sent
from server.page.board import board_view, find_board, read_answers, runs_view
from server.page.links import run_file
from server.runs.listing import place_of

router = page_router()
NONE = "none"


@router.get("/runs")
async def runs(request: Request, read: Journal, before: str | None = None) -> Response:
    """List the runs; a place that is none is that of the newest."""
    await read.written()
    frame = frame_of(request, "Runs", "runs")

    def work(reader: JournalReader) -> str:
        return runs_view(reader, frame, place_of(before)).html()

    return sent(request, await read(work), "runs.html")


@router.get("/runs/{run_id}")
async def run(request: Request, read: Journal, run_id: str) -> Response:
    """Show the board of a run."""
    await read.written()
    frame = frame_of(request, run_id, "runs", "board.js")
    named = parts_of(request).settings.page.answers

    def work(reader: JournalReader) -> str:
        answers = None if named == NONE else Path(named).expanduser()
        return board_view(reader, frame, run_id, read_answers(answers)).html()

    return sent(request, await read(work), run_file(run_id))


@router.get("/runs/{run_id}/state.json")
async def state(read: Journal, run_id: str) -> Response:
    """Send what changes when something on the board does."""

    def work(reader: JournalReader) -> str:
        return find_board(reader, run_id, {}).state

    return JSONResponse({"state": await read(work)})
