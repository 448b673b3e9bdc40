"""HTTP to an engine's server: JSON requests, event streams, and failures in our terms."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, Self

import anyio
import httpx
import orjson

from client.schema import bearer
from server.engine.errors import (
    EngineError,
    EngineFailed,
    EngineProtocolError,
    EngineRefused,
    EngineStalled,
    EngineUnavailable,
)
from server.engine.plain_http import PlainTransport
from server.engine.sse import data_blocks

CONNECT_S = 5.0
#: What an engine answers from memory takes milliseconds, unless it is very busy.
ANSWER_S = 10.0
#: An error's body is a sentence in JSON; more is not read.
MAX_ERROR_BYTES = 64 * 1024
#: The probabilities of a whole context of 131,072 tokens take about 4 MB.
MAX_ANSWER_BYTES = 64 * 1024 * 1024
#: Statuses that pass: a server that is full, starting or stopping, and proxies before it.
PASSING = frozenset({408, 409, 425, 429, 502, 503, 504})
FORBIDDEN = frozenset({401, 403})
CLIENT_ERROR, SERVER_ERROR, NO_STATUS = 400, 500, 600
#: Types of answers that are no streams, whatever their status: of proxies, and of their errors.
WHOLE = frozenset({"application/json", "application/problem+json", "text/html"})


def refusal(name: str, status: int, message: str) -> EngineError:
    """Return the error for an HTTP status, or for a code inside a stream."""
    text = f"{name} answered {status}: {message}"
    if status in PASSING:
        return EngineUnavailable(text)
    if status in FORBIDDEN:
        return EngineFailed(f"{text}; set engine.api_key")
    return EngineRefused(text) if status < SERVER_ERROR else EngineProtocolError(text)


async def no_doubt() -> None:
    """Stand for `confirm_death` where the answer itself is what is looked for."""


def _key(name: str, api_key: str) -> dict[str, str]:
    try:
        return bearer(api_key)
    except ValueError as error:
        raise EngineFailed(f"the key of {name}: {error}; correct it in the settings") from None


class RemoteServer:
    """A client of one server at `url`, with or without the `/v1` that other clients are given.

    `confirm_death` is awaited when a connection breaks, so that the server's end is seen before the
    caller asks whether the engine is ready.
    """

    def __init__(
        self, name: str, url: str, api_key: str, confirm_death: Callable[[], Awaitable[None]]
    ) -> None:
        self.name = name
        # Ours are the paths from the root on.
        self.url = url.rstrip("/").removesuffix("/v1")
        self.api_key = api_key
        self._confirm_death = confirm_death
        # A kept connection may be closed by the server as it is used, which looks like a death.
        headers = {"Connection": "close", "Accept-Encoding": "identity", **_key(name, api_key)}
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers=headers,
            timeout=httpx.Timeout(CONNECT_S, read=ANSWER_S),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            mounts={"http://": PlainTransport()},
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        del details
        await self._http.aclose()

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        body: dict[str, Any],
        silence_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[AsyncIterator[list[bytes]]]:
        """Post and yield the events of the answer; the block's end closes the connection.

        Events that came together are in one list. `silence_s` bounds the time between two of them,
        whatever else comes: pings are no work. Raises the errors of `Engine.generate`.
        """
        async with AsyncExitStack() as stack:
            reply = await self._open(stack, "POST", path, body, silence_s, headers)
            if _media_type(reply) in WHOLE:
                raise await self._no_stream(reply)
            yield await stack.enter_async_context(aclosing(self._events(reply, silence_s)))

    async def get(self, path: str) -> Any:  # noqa: ANN401 - JSON has no narrower type
        """Return the JSON that a path answers with."""
        return await self._answer("GET", path, None, ANSWER_S)

    async def delete(self, path: str) -> Any:  # noqa: ANN401
        """Delete what is at a path; return the JSON of the answer."""
        return await self._answer("DELETE", path, None, ANSWER_S)

    async def post(self, path: str, body: dict[str, Any], read_s: float = ANSWER_S) -> Any:  # noqa: ANN401
        """Post and return the JSON of the answer; None where it has no content."""
        return await self._answer("POST", path, body, read_s)

    async def _answer(
        self, method: str, path: str, body: dict[str, Any] | None, read_s: float
    ) -> Any:  # noqa: ANN401
        async with AsyncExitStack() as stack:
            reply = await self._open(stack, method, path, body, read_s)
            content = await self._read(reply, MAX_ANSWER_BYTES)
        try:
            return orjson.loads(content) if content else None
        except ValueError:
            raise EngineProtocolError(
                f"{self.name} answered {path} with no JSON: {content[:200]!r}"
            ) from None

    async def _open(
        self,
        stack: AsyncExitStack,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        read_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request; return its answer, open, where its status is that of a success."""
        if self._http.is_closed:
            raise EngineUnavailable(f"{self.name} is gone")
        request = self._http.stream(
            method,
            path,
            content=None if body is None else orjson.dumps(body),
            headers={
                **({"Content-Type": "application/json"} if body is not None else {}),
                **(headers or {}),
            },
            timeout=httpx.Timeout(CONNECT_S, read=read_s),
        )
        try:
            # Each wait is bounded below; here all together, since a head can come in drops.
            with anyio.fail_after(CONNECT_S + 2 * read_s):
                reply = await stack.enter_async_context(request)
        except TimeoutError:
            raise self._stalled() from None
        except httpx.HTTPError as error:
            raise await self._translate(error) from None
        if not reply.is_success:
            content = await self._read(reply, MAX_ERROR_BYTES)
            raise await self._refusal(reply, error_text(content))
        return reply

    async def _refusal(self, reply: httpx.Response, text: str) -> EngineError:
        """Return the error for an answer that is not a success."""
        return refusal(self.name, reply.status_code, text)

    async def _no_stream(self, reply: httpx.Response) -> EngineError:
        """Return the error for an answer of success that is none: what it says is the reason."""
        content = await self._read(reply, MAX_ERROR_BYTES)
        status, text = _error_status(content), error_text(content)
        if status:
            return refusal(self.name, status, text)
        await self._confirm_death()
        return EngineUnavailable(
            f"{self.name} answered {reply.status_code} without a stream: {text}"
        )

    async def _read(self, reply: httpx.Response, most: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            async for part in reply.aiter_raw():
                parts.append(part)
                size += len(part)
                if size > most:
                    break
        except httpx.HTTPError as error:
            raise await self._translate(error) from None
        return b"".join(parts)

    async def _events(
        self, reply: httpx.Response, silence_s: float
    ) -> AsyncGenerator[list[bytes], None]:
        # Translated here, not around the caller's block: what breaks there is the caller's own.
        try:
            async with aclosing(data_blocks(reply.aiter_raw(), silence_s)) as blocks:
                async for lines in blocks:
                    yield lines
        except TimeoutError:
            raise self._stalled() from None
        except httpx.HTTPError as error:
            raise await self._translate(error) from None

    async def _translate(self, error: httpx.HTTPError) -> EngineError:
        if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
            return self._stalled()
        await self._confirm_death()
        return EngineUnavailable(f"the connection to {self.name} broke ({type(error).__name__})")

    def _stalled(self) -> EngineStalled:
        return EngineStalled(
            f"{self.name} took or sent nothing of use for too long; see engine.stall_timeout_s"
        )


def _media_type(reply: httpx.Response) -> str:
    return str(reply.headers.get("content-type", "")).partition(";")[0].strip().lower()


def _error_status(content: bytes) -> int:
    """Return the status that an error's body tells; 0 where it tells none."""
    try:
        error = orjson.loads(content)
        code = error.get("error", error)["code"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return 0
    return code if type(code) is int and CLIENT_ERROR <= code < NO_STATUS else 0


def error_text(content: bytes) -> str:
    """Return what an error's body says: the message where it is one of the usual shapes."""
    try:
        error = orjson.loads(content)
        error = error.get("error", error)
        return str(error if isinstance(error, str) else error["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return content[:300].decode(errors="replace")
