"""How the page answers: headers on everything, errors as views, reading in threads."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

import anyio
import anyio.to_thread
from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute

from server.access.session import cookie_of
from server.journal.errors import JournalError, JournalUnreadable, UnknownSolve
from server.journal.reader import JournalReader
from server.page.links import Links, Target
from server.page.policy import HEADERS
from server.page.render import Frame
from server.page.solves import Spelling
from server.page.view import NotThere, View
from server.parts import Parts, journal_status

#: Views that are made at once: each reads the journal and renders in a thread of its own.
MOST_READERS = 4
#: How long a view waits for a solve that has ended to be in the journal, in seconds.
FLUSH_S = 2.0
Result = TypeVar("Result")


class PageRoute(APIRoute):
    """A route whose errors are views, and whose answers carry the page's headers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler that the application calls."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                response = await handle(request)
            except (NotThere, UnknownSolve) as error:
                response = refusal(request, HTTPStatus.NOT_FOUND, "Not here", str(error))
            except JournalError as error:
                response = refusal(request, HTTPStatus.SERVICE_UNAVAILABLE, "No record", str(error))
            except RequestValidationError:
                sentence = "The address is not one of this page: its numbers do not fit."
                response = refusal(request, HTTPStatus.NOT_FOUND, "Not here", sentence)
            response.headers.update(HEADERS)
            return response

        return answer


def page_router() -> APIRouter:
    """Return a router for views; they are for people, and no part of the described API."""
    return APIRouter(route_class=PageRoute, include_in_schema=False)


def refusal(request: Request, status: HTTPStatus, title: str, sentence: str) -> Response:
    """Return the view of an error."""
    view = View("error.html", frame_of(request, title), {"sentence": sentence})
    return HTMLResponse(view.html(), status_code=int(status))


def parts_of(request: Request) -> Parts:
    """Return the parts of the gateway."""
    parts: Parts = request.state.parts
    return parts


def frame_of(request: Request, title: str, section: str = "", script: str = "") -> Frame:
    """Return the frame of a view: for the browser, or for a file where the address says so."""
    parts = parts_of(request)
    links = Links(Target.ALONE if "export" in request.query_params else Target.SERVER)
    status = journal_status(parts.journal, parts.no_journal)
    asked = parts.settings.journal.enabled and parts.service is not None
    session = bool(cookie_of(request.headers))
    return Frame(title, section, links, status if asked else None, script, session)


def spelling_of(request: Request) -> Spelling:
    """Return the vocabulary of the model that is served."""
    parts = parts_of(request)
    if parts.service is None or parts.engine is None:
        return Spelling()
    others = {each.engine.info.model: each.vocabulary for each in parts.others.values()}
    return Spelling(parts.service.parts.vocabulary, parts.engine.info.model, others)


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads the journal in threads, a few at a time."""

    parts: Parts
    limiter: anyio.CapacityLimiter

    @property
    def why_not(self) -> str:
        """Why there is no record; empty where there is one."""
        return f"There is no record: {why}." if (why := self.parts.no_record) else ""

    async def __call__(self, work: Callable[[JournalReader], Result]) -> Result:
        """Return what `work` makes of the journal.

        Raises:
            JournalUnreadable: there is none, or it cannot be read.
        """
        return await anyio.to_thread.run_sync(self._work, work, limiter=self.limiter)

    def _work(self, work: Callable[[JournalReader], Result]) -> Result:
        if why_not := self.why_not:
            raise JournalUnreadable(why_not)
        with JournalReader(self.parts.settings.journal_path) as reader:
            return work(reader)

    async def make(self, work: Callable[[], Result]) -> Result:
        """Return what `work` makes without a journal."""
        return await anyio.to_thread.run_sync(work, limiter=self.limiter)

    async def written(self) -> None:
        """Wait until what has happened is in the journal, for a short time."""
        if self.parts.journal is not None:
            await self.parts.journal.flush(FLUSH_S)


async def reading(request: Request) -> Reading:
    """Return how the journal of this application is read."""
    return Reading(parts_of(request), request.app.state.page_readers)


Journal = Annotated[Reading, Depends(reading)]


def sent(request: Request, html: str, name: str, status: int = HTTPStatus.OK) -> Response:
    """Return rendered HTML for the browser, or as a file to save."""
    headers = {}
    if "export" in request.query_params:
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return HTMLResponse(html, status_code=int(status), headers=headers)
