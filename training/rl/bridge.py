"""A policy as a server of completions, in vLLM's form, for a gateway with `engine.kind` openai.

Its weights may change behind it. A service that gives whole continuations only is asked for some
tokens at a time: the gateway closes a stream at the end of a program, and what was sampled after
that is dropped. A part of a sample is a sample.
"""

import socket
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, TypeVar

import anyio
import orjson
import uvicorn
from anyio import to_thread
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from training.errors import OutputFailed, TrainingError
from training.rl.policy import Asked, Sampled, Sampler

#: Seeds of the parts of one continuation are this far apart, so that none repeats another's draws.
_STRIDE = 1_000_003
_MOST_SEED = 2**31
Value = TypeVar("Value")


class Request(BaseModel):
    """What of a request for completions a policy heeds; the rest is left."""

    prompt: list[int] = Field(min_length=1)
    max_tokens: int = Field(16, ge=0)
    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = 0
    seed: int | None = None
    stop_token_ids: tuple[int, ...] = ()
    stream: bool = False
    logprobs: int | None = None
    prompt_logprobs: int | None = None


class Bridge:
    """The server. `sampler` may be set to another one at any time; `url` is where it listens."""

    def __init__(self, sampler: Sampler, name: str, context: int, chunk: int, most: int) -> None:
        self.sampler = sampler
        self.url = ""
        self._failed = anyio.Event()
        self._failures: list[TrainingError] = []
        self._name, self._context, self._chunk = name, context, chunk
        self._threads = anyio.CapacityLimiter(most)

    def app(self) -> FastAPI:
        """Return the application."""
        app = FastAPI(openapi_url=None)
        app.get("/v1/models")(self._models)
        app.post("/v1/completions", response_model=None)(self._complete)
        return app

    async def check(self) -> None:
        """Wait for a failure of the policy, and raise it."""
        await self._failed.wait()
        raise self._failures[0]

    async def _models(self) -> dict[str, Any]:
        model = {"id": self._name, "owned_by": "vllm", "max_model_len": self._context}
        return {"object": "list", "data": [model]}

    async def _complete(self, request: Request) -> StreamingResponse | dict[str, Any]:
        if request.stream:
            return StreamingResponse(self._events(request), media_type="text/event-stream")
        try:
            parts = [part async for part in self._parts(request)]
            whole = Sampled(
                [token_id for part, _ in parts for token_id in part.ids],
                [logprob for part, _ in parts for logprob in part.logprobs],
            )
            choice = self._choice(request, whole, parts[-1][1] if parts else "length")
            if request.prompt_logprobs is not None:
                scores = await self._run(partial(self.sampler.score, request.prompt))
                choice["prompt_logprobs"] = _of_prompt(request.prompt, scores)
        except TrainingError as error:
            raise HTTPException(502, str(error)) from None
        return {"object": "text_completion", "model": self._name, "choices": [choice]}

    async def _events(self, request: Request) -> AsyncIterator[bytes]:
        try:
            async for part, finish in self._parts(request):
                choices = [self._choice(request, part, finish)]
                yield _event({"object": "text_completion", "choices": choices})
        except TrainingError as error:
            yield _event({"error": {"message": str(error), "code": 502}})
        yield b"data: [DONE]\n\n"

    async def _parts(self, request: Request) -> AsyncIterator[tuple[Sampled, str | None]]:
        """Yield a continuation in parts, and with the last one why it ended."""
        prompt, left, seed = tuple(request.prompt), request.max_tokens, request.seed or 0
        while left > 0:
            asked = Asked(
                prompt,
                min(left, self._chunk),
                request.temperature,
                request.top_p,
                max(request.top_k, 0),
                seed % _MOST_SEED,
                request.stop_token_ids,
            )
            part = await self._run(partial(self.sampler.sample, asked))
            left -= len(part.ids)
            ended = bool(part.ids) and part.ids[-1] in request.stop_token_ids
            finish = "stop" if ended else ("length" if left <= 0 else None)
            yield part, finish
            if finish is not None:
                return
            prompt, seed = (*prompt, *part.ids), seed + _STRIDE

    async def _run(self, work: Callable[[], Value]) -> Value:
        try:
            return await to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._threads)
        except TrainingError as error:
            self._failures.append(error)
            self._failed.set()
            raise

    def _choice(self, request: Request, part: Sampled, finish: str | None) -> dict[str, Any]:
        choice: dict[str, Any] = {
            "index": 0, "text": "", "token_ids": part.ids, "finish_reason": finish,
            "logprobs": None,
        }  # fmt: skip
        if request.logprobs is not None:
            pairs = zip(part.ids, part.logprobs, strict=True)
            top = [{f"token_id:{token_id}": logprob} for token_id, logprob in pairs]
            choice["logprobs"] = {"token_logprobs": part.logprobs, "top_logprobs": top}
        return choice


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def _of_prompt(
    ids: Sequence[int], scores: Sequence[float | None]
) -> list[dict[str, dict[str, Any]] | None]:
    return [
        None if score is None else {str(token_id): {"logprob": score}}
        for token_id, score in zip(ids, scores, strict=True)
    ]


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise OutputFailed(
            f"port {port}: cannot be listened on ({error.strerror}); name another with --port"
        ) from None


class _Server(uvicorn.Server):
    """uvicorn as a part of a program: signals are the program's."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals alone."""
        yield


@asynccontextmanager
async def open_bridge(
    sampler: Sampler, name: str, *, context: int, chunk: int = 512, most: int = 256, port: int = 0
) -> AsyncIterator[Bridge]:
    """Serve a policy on the loopback address for the length of the block; port 0 is a free one.

    `context` and `chunk` are in tokens; `most` continuations are sampled at a time.

    Raises:
        OutputFailed: the port is taken.
    """
    bridge = Bridge(sampler, name, context, chunk, most)
    config = uvicorn.Config(
        bridge.app(), log_config=None, lifespan="off", timeout_graceful_shutdown=1
    )
    server = _Server(config)
    with _listening(port) as listener:
        bridge.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [listener])
            try:
                yield bridge
            finally:
                server.should_exit = True
