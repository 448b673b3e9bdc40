"""`/` and `/solves/…`: the record, and solves as they happen."""

from contextlib import suppress
from functools import partial
from http import HTTPStatus

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from server.api.services import Services
from server.api.told import told
from server.journal.errors import JournalUnreadable
from server.journal.reader import JournalReader
from server.page import live
from server.page.answering import Journal, Reading, frame_of, page_router, parts_of, sent
from server.page.home import Refused, home_view, live_row, parse_filter
from server.page.lanes import SolveView, fold
from server.page.links import Links, solve_file
from server.page.solves import solve_title, solve_view, stored_solve, with_curves
from server.solve.service import SolveHandle

router = page_router()


@router.get("/")
async def home(request: Request, read: Journal) -> Response:
    """Show what runs now, and the record."""
    return await answer_home(request, read)


async def answer_home(
    request: Request,
    read: Reading,
    refused: Refused | None = None,
    status: int = HTTPStatus.OK,
) -> Response:
    """Return the first view, after a form that was refused with what it said."""
    service = parts_of(request).service
    frame = frame_of(request, "Solves", "solves", "home.js")
    make = partial(
        home_view,
        frame,
        wanted=parse_filter(request.query_params),
        live=[live_row(handle) for handle in service.live()] if service else [],
        can_solve=service is not None,
        refused=refused,
    )

    def recorded(reader: JournalReader) -> str:
        return make(reader).html()

    def unrecorded(why_not: str) -> str:
        return make(None, no_record=why_not).html()

    why_not = read.why_not
    if not why_not:
        try:
            return sent(request, await read(recorded), "solves.html", status)
        except JournalUnreadable as error:
            # What runs now is shown, and the form works, whatever happened to the file.
            why_not = str(error)
    html = await read.make(partial(unrecorded, why_not))
    return sent(request, html, "solves.html", status)


@router.get("/live.json")
async def running(request: Request) -> Response:
    """List the solves that run or wait."""
    service = parts_of(request).service
    rows = [live_row(handle) for handle in service.live()] if service else []
    links = Links()
    return JSONResponse(
        [
            {
                "id": row.solve_id,
                "address": links.solve(row.solve_id),
                "problem": row.line,
                "told": row.told,
            }
            for row in rows
        ]
    )


@router.get("/solves/{solve_id}")
async def solve(request: Request, read: Journal, solve_id: str) -> Response:
    """Show a solve: while it runs, as it happens."""
    view = await _solve(find_handle(request, solve_id), read, solve_id)
    frame = frame_of(request, solve_title(view), "solves", "live.js")
    html = await read.make(solve_view(view, frame).html)
    return sent(request, html, solve_file(view.solve_id))


def find_handle(request: Request, solve_id: str) -> SolveHandle | None:
    """Return a solve that has not ended, or that is not in the journal yet."""
    service = parts_of(request).service
    services: Services = request.state.services
    return (service.get(solve_id) if service else None) or services.unwritten.get(solve_id)


async def _solve(handle: SolveHandle | None, read: Reading, solve_id: str) -> SolveView:
    """Return a solve as it is now: from its events where it runs, else from the journal."""
    if handle is None:
        await read.written()
        return await read(partial(stored_solve, solve_id=solve_id))
    view = SolveView(
        handle.solve_id, live=handle.events.finished is None, created=handle.created,
        age_s=handle.events.age_s, problem=handle.plan.problem, problem_id=handle.plan.problem_id,
        waits=handle.waits,
    )  # fmt: skip
    events = told(handle)
    await read.make(partial(fold, view, events))
    # The lines alone are from the journal.
    with suppress(JournalUnreadable):
        await read(partial(with_curves, view))
    return view


@router.get("/solves/{solve_id}/feed")
async def feed(request: Request, solve_id: str, after: int = 0) -> Response:
    """Send the events of a running solve as they come."""
    return live.feed(request, find_handle(request, solve_id), after)


@router.get("/solves/{solve_id}/curves.json")
async def curves(read: Journal, solve_id: str) -> Response:
    """Send the lines of confidence of all attempts."""
    return JSONResponse(await read(partial(live.curves, solve_id=solve_id)))
