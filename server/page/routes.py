"""The routes of the page; `open_page` puts them on an application."""

from collections.abc import Awaitable, Callable
from importlib.resources import files

import anyio
from fastapi import Depends, FastAPI, Request, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from server.page import asking, attempts, boards, datasets, showing
from server.page.answering import MOST_READERS
from server.page.policy import HEADERS

Guard = Callable[[Request], Awaitable[None] | None]
"""A dependency that raises where a request may not do what it asks."""


def everybody(request: Request) -> None:
    """Let every request through: for a server that only this machine reaches."""
    del request


def open_page(app: FastAPI, may_read: Guard = everybody, may_solve: Guard = everybody) -> None:
    """Put the page on an application.

    `may_read` is asked before anything is shown, `may_solve` before a solve is begun or cancelled.
    The files below `/static` are everybody's: a view that asks for a key needs them too.
    """
    app.state.page_readers = anyio.CapacityLimiter(MOST_READERS)
    for views in (showing, attempts, boards, datasets):
        app.include_router(views.router, dependencies=[Depends(may_read)])
    app.include_router(asking.router, dependencies=[Depends(may_read), Depends(may_solve)])
    app.mount("/static", Assets(directory=str(files("server.page") / "static")), name="static")


class Assets(StaticFiles):
    """The scripts and styles, with the page's headers; a browser asks whether they changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file."""
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS | {"Cache-Control": "no-cache"})
        return response
