"""The form that asks for a solve, and the button that cancels one."""

from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

import anyio
from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from client.schema import SolveRequest
from server.api.wording import worded
from server.page.answering import Journal, page_router, parts_of
from server.page.home import ASKED, Refused
from server.page.links import Links
from server.page.showing import answer_home, find_handle
from server.solve.service import AdmissionError
from voting.errors import PolicyNameError, UnknownStrategyError

router = page_router()
#: How long the view of a cancelled solve waits for its end, in seconds; kernels are freed by then.
CANCELLED_S = 3.0
SEE_OTHER = int(HTTPStatus.SEE_OTHER)
#: Fields of a form; ours has six.
MOST_FIELDS = 20
#: How the numbers of the form are read; what is none stays text, which the schema then refuses.
NUMBERS: dict[str, type[int] | type[float]] = {
    "attempts": int,
    "time_limit_s": float,
    "seed": int,
}


@router.get("/solves")
async def again(request: Request) -> Response:
    """Lead to the first view: a form that was refused is shown at this address."""
    query = request.url.query
    return RedirectResponse(f"/?{query}" if query else "/", SEE_OTHER)


@router.post("/solves")
async def ask(request: Request, read: Journal) -> Response:
    """Begin a solve, which goes on whoever looks at it, and show it."""
    asked = fields_of(await request.body())
    service = parts_of(request).service
    refused, status = "This server has no engine, and solves nothing.", 503
    if service is not None:
        try:
            handle = service.submit(solve_request(asked))
            return RedirectResponse(Links().solve(handle.solve_id) or "/", SEE_OTHER)
        except ValidationError as error:
            fields = [worded(dict(entry)) for entry in error.errors()]
            refused = "; ".join(field.message for field in fields)
            status = HTTPStatus.UNPROCESSABLE_ENTITY
        except (UnknownStrategyError, PolicyNameError) as error:
            refused, status = str(error), HTTPStatus.UNPROCESSABLE_ENTITY
        except AdmissionError as error:
            refused, status = str(error), HTTPStatus.TOO_MANY_REQUESTS
    return await answer_home(request, read, Refused(asked, refused), status)


def fields_of(body: bytes) -> dict[str, str]:
    """Return what a form says; every field is there."""
    try:
        given = parse_qs(body.decode("utf-8", "replace"), max_num_fields=MOST_FIELDS)
    except ValueError:
        given = {}
    # A browser sends line ends as CR LF.
    return {name: given.get(name, [""])[0].replace("\r\n", "\n") for name in ASKED}


def solve_request(asked: dict[str, str]) -> SolveRequest:
    """Return the request that the API would be sent; an empty field is left to the server.

    Raises:
        pydantic.ValidationError: it would be refused.
    """
    values: dict[str, Any] = {"problem": asked["problem"]}
    for name, text in asked.items():
        if name != "problem" and text.strip():
            values[name] = _parsed(name, text.strip())
    return SolveRequest.model_validate(values)


def _parsed(name: str, text: str) -> int | float | str:
    try:
        return NUMBERS[name](text) if name in NUMBERS else text
    except ValueError:
        return text


@router.post("/solves/{solve_id}/cancel")
async def cancel(request: Request, solve_id: str) -> Response:
    """End a solve, and show what it came to."""
    handle = find_handle(request, solve_id)
    if handle is not None:
        handle.cancel()
        with anyio.move_on_after(CANCELLED_S):
            await handle.result()
    return RedirectResponse(Links().solve(solve_id) or "/", SEE_OTHER)
