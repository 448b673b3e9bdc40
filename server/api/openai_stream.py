"""A stream in OpenAI's form: `data:` lines of JSON, an `error` where it breaks, `[DONE]`."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

import anyio
import orjson
import structlog
from fastapi import Request
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from client.schema import ProblemDetails
from server.api.event_stream import PING_S, SEND_TIMEOUT_S
from server.api.problems import (
    admission_problem,
    defect,
    details,
    engine_problem,
    openai_error,
)
from server.engine.errors import EngineError
from server.solve.service import AdmissionError

log = structlog.get_logger(__name__)

Write = Callable[[BaseModel | dict[str, object]], Awaitable[None]]
Produce = Callable[[Write], Awaitable[None]]

DONE = b"data: [DONE]\n\n"
#: A comment, by which both ends notice a dead connection.
PING = b": ping\n\n"
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class OpenaiStream(Response):
    """Runs `produce` with a function that sends one chunk; its end, or the client's, ends both.

    The response begins with the first chunk, or with the first ping where none comes for so long
    that a proxy would give up: what `produce` raises before that is answered with a status of its
    own, what it raises later is told in the stream.
    """

    def __init__(self, request: Request, produce: Produce, leave: Callable[[], None]) -> None:
        super().__init__()
        self._request = request
        self._produce = produce
        self._leave = leave
        self._begun = False
        self._sending = anyio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until `produce` returns, or the client goes away."""
        del scope
        failure: Exception | None = None
        try:
            async with anyio.create_task_group() as group:

                async def watch() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    group.cancel_scope.cancel()

                async def ping() -> None:
                    while True:
                        await anyio.sleep(PING_S)
                        await self._send(send, PING)

                group.start_soon(watch)
                group.start_soon(ping)
                try:
                    await self._run(send)
                except Exception as error:  # noqa: BLE001 - raised again outside of the group
                    failure = error
                group.cancel_scope.cancel()
        finally:
            self._leave()
        if failure is not None:
            raise failure

    async def _run(self, send: Send) -> None:
        async def write(chunk: BaseModel | dict[str, object]) -> None:
            await self._send(send, _line(chunk))

        try:
            await self._produce(write)
        except TimeoutError:
            log.warning("stream.not_read", path=self._request.url.path)
            return
        except Exception as error:
            if not self._begun:
                raise
            told = _problem_of(error)
            if told is None:
                log.exception("request.failed", path=self._request.url.path)
                told = defect(error)
            await write({"error": openai_error(told)})
        await self._send(send, DONE, more=False)

    async def _send(self, send: Send, data: bytes, *, more: bool = True) -> None:
        async with self._sending:
            with anyio.fail_after(SEND_TIMEOUT_S):
                if not self._begun:
                    self._begun = True
                    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
                await send({"type": "http.response.body", "body": data, "more_body": more})


def _line(chunk: BaseModel | dict[str, object]) -> bytes:
    if isinstance(chunk, BaseModel):
        return b"data: " + chunk.model_dump_json(exclude_unset=True).encode() + b"\n\n"
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def _problem_of(error: Exception) -> ProblemDetails | None:
    """Return how an error is told; None of a defect."""
    if isinstance(error, EngineError):
        return engine_problem(error)
    if isinstance(error, AdmissionError):
        return admission_problem(error)
    if isinstance(error, HTTPException):
        return details(HTTPStatus(error.status_code), str(error.detail))
    return None
