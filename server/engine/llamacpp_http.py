"""The HTTP side of llama-server: requests, and its failures in our terms."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, Self

import anyio
import httpx
import orjson

from server.engine.base import Sampling
from server.engine.errors import (
    EngineError,
    EngineProtocolError,
    EngineStalled,
    EngineUnavailable,
)
from server.engine.llamacpp_events import refusal
from server.engine.sse import data_lines

CONNECT_S = 5.0
#: A slot's state is saved or restored in milliseconds.
SLOT_ACTION_S = 30.0
#: An error's body is a sentence in JSON; more is not read.
MAX_ERROR_BYTES = 64 * 1024
#: llama-server's seeds have 32 bits, and the largest stands for "a random one".
SEEDS = 2**32 - 1


class LlamaServer:
    """A client of one llama-server process.

    `confirm_death` is awaited when a connection breaks, so that the process' end is seen before the
    caller asks whether the engine is ready.
    """

    def __init__(
        self, url: str, api_key: str, confirm_death: Callable[[], Awaitable[None]]
    ) -> None:
        self._confirm_death = confirm_death
        self._http = httpx.AsyncClient(
            base_url=url,
            # llama-server promises keep-alive and closes: a connection used twice would break.
            headers={"Authorization": f"Bearer {api_key}", "Connection": "close"},
            timeout=httpx.Timeout(CONNECT_S),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        del details
        await self._http.aclose()

    @asynccontextmanager
    async def complete(
        self, body: dict[str, Any], read_s: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a completion and yield its events; the block's end aborts it in llama-server.

        `read_s` bounds the time between two events, whatever else comes. Raises the errors of
        `Engine.generate`.
        """
        self._require_open()
        request = self._http.stream(
            "POST",
            "/completion",
            content=orjson.dumps(body),
            timeout=httpx.Timeout(CONNECT_S, read=read_s),
        )
        async with AsyncExitStack() as stack:
            try:
                # Each wait is bounded below; here all together, since a head can come in drops.
                with anyio.fail_after(CONNECT_S + 2 * read_s):
                    reply = await stack.enter_async_context(request)
                if reply.status_code != httpx.codes.OK:
                    raise refusal(reply.status_code, await _error_message(reply))
            except TimeoutError:
                raise _stalled() from None
            except httpx.HTTPError as error:
                raise await self._translate(error) from None
            yield await stack.enter_async_context(aclosing(self._events(reply, read_s)))

    async def _events(self, reply: httpx.Response, silence_s: float) -> AsyncGenerator[bytes, None]:
        # Translated here, not around the caller's block: what breaks there is the caller's own.
        try:
            async with aclosing(data_lines(reply.aiter_raw(), silence_s)) as lines:
                async for line in lines:
                    yield line
        except TimeoutError:
            raise _stalled() from None
        except httpx.HTTPError as error:
            raise await self._translate(error) from None

    async def slot_tokens(self) -> int:
        """Return the context of a slot in tokens: at most what the model was trained for."""
        slots = await self.slots()
        try:
            return min(int(slot["n_ctx"]) for slot in slots)
        except (ValueError, KeyError, TypeError):
            raise EngineProtocolError(f"no list of slots: {slots!r:.300}") from None

    async def slots(self) -> list[dict[str, Any]]:
        """Return what llama.cpp tells of each slot."""
        reply = await self._request("GET", "/slots")
        try:
            return list(orjson.loads(reply.content))
        except (ValueError, TypeError):
            raise EngineProtocolError(f"no list of slots: {reply.text[:300]}") from None

    async def slot_action(self, slot: int, action: str, filename: str) -> None:
        """Save a slot's state under a name, or restore it."""
        await self._request("POST", f"/slots/{slot}?action={action}", {"filename": filename})

    async def _request(
        self, method: str, path: str, body: dict[str, str] | None = None
    ) -> httpx.Response:
        self._require_open()
        timeout = httpx.Timeout(CONNECT_S, read=SLOT_ACTION_S)
        try:
            reply = await self._http.request(method, path, json=body, timeout=timeout)
        except httpx.HTTPError as error:
            raise await self._translate(error) from None
        if reply.status_code != httpx.codes.OK:
            raise EngineProtocolError(f"{path}: {reply.status_code} {reply.text[:300]}")
        return reply

    def _require_open(self) -> None:
        """Refuse who has waited for another's prefill while this process ended."""
        if self._http.is_closed:
            raise EngineUnavailable("the engine process that was to be asked is gone")

    async def _translate(self, error: httpx.HTTPError) -> EngineError:
        if isinstance(error, httpx.ReadTimeout):
            return _stalled()
        await self._confirm_death()
        return EngineUnavailable(f"the connection to the engine broke ({type(error).__name__})")


def _stalled() -> EngineStalled:
    return EngineStalled("the engine sent nothing of use for too long; see engine.stall_timeout_s")


def completion_body(prompt: list[int], sampling: Sampling, slot: int) -> dict[str, Any]:
    """Return a `/completion` request with every sampling parameter set."""
    return {
        "prompt": prompt,
        "id_slot": slot,
        "cache_prompt": True,
        "stream": True,
        "return_tokens": True,
        "n_predict": sampling.max_tokens,
        "n_probs": sampling.top_logprobs,
        "temperature": sampling.temperature,
        "seed": sampling.seed % SEEDS,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        # The order of vLLM and SGLang: temperature first, then the cuts.
        "samplers": ["temperature", "top_k", "top_p", "min_p"],
        "repeat_penalty": 1.0,
    }


async def _error_message(reply: httpx.Response) -> str:
    body = b""
    async for part in reply.aiter_raw():
        body += part
        if len(body) > MAX_ERROR_BYTES:
            break
    try:
        return str(orjson.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:300].decode(errors="replace")
