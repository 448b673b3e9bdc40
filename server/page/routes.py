"""The routes of the page; `open_page` puts them on an application."""

from importlib.resources import files

import anyio
from fastapi import FastAPI, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from server.page import asking, attempts, boards, datasets, labelling, showing
from server.page.answering import MOST_READERS
from server.page.policy import HEADERS


def open_page(app: FastAPI) -> None:
    """Put the page on an application; who may use it is decided before, by `server/access`."""
    app.state.page_readers = anyio.CapacityLimiter(MOST_READERS)
    for views in (showing, attempts, boards, datasets, labelling, asking):
        app.include_router(views.router)
    app.mount("/static", Assets(directory=str(files("server.page") / "static")), name="static")


class Assets(StaticFiles):
    """The scripts and styles, with the page's headers; a browser asks whether they changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file."""
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS | {"Cache-Control": "no-cache"})
        return response
