"""The routes of the page; `open_page` puts them on an application."""

from http import HTTPStatus
from importlib.resources import files
from typing import Any

import anyio
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from server.page import asking, attempts, boards, datasets, labelling, showing
from server.page.answering import MOST_READERS, refusal
from server.page.policy import HEADERS


def open_page(app: FastAPI) -> None:
    """Put the page on an application; who may use it is decided before, by `server/access`."""
    app.state.page_readers = anyio.CapacityLimiter(MOST_READERS)
    for views in (showing, attempts, boards, datasets, labelling, asking):
        app.include_router(views.router)
    app.mount("/static", Assets(directory=str(files("server.page") / "static")), name="static")
    _show_what_is_nowhere(app)


def _show_what_is_nowhere(app: FastAPI) -> None:
    """Answer a browser that asks for an address of nothing with a view; programs with the rest."""
    answer: Any = app.exception_handlers[HTTPException]

    async def shown(request: Request, error: Exception) -> Response:
        reply: Response = await answer(request, error)
        nowhere = reply.status_code == HTTPStatus.NOT_FOUND and "endpoint" not in request.scope
        if not (nowhere and "text/html" in request.headers.get("accept", "")):
            return reply
        sentence = "Nothing is at this address."
        view = refusal(request, HTTPStatus.NOT_FOUND, "Not here", sentence)
        view.headers.update(HEADERS)
        return view

    app.add_exception_handler(HTTPException, shown)


class Assets(StaticFiles):
    """The scripts and styles, with the page's headers; a browser asks whether they changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file."""
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS | {"Cache-Control": "no-cache"})
        return response
