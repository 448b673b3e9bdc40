"""Speaks the protocol of vLLM's `/v1/completions` over real HTTP, faults included.

A request ends when its connection is closed. The first id of a prompt chooses a fault, by its place
in `FAULTS`. The first line of standard output is the address.
"""

import argparse
import asyncio
import json
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.server.engine.fake_language import FakeLanguage


def event(**changes: Any) -> bytes:  # noqa: ANN401
    choice = {"index": 0, "text": "a", "logprobs": None, "finish_reason": None, "token_ids": [5]}
    return b"data: " + json.dumps({"choices": [choice | changes]}).encode() + b"\n\n"


def error(code: object) -> bytes:
    body = {"error": {"message": "it says why", "type": "some", "code": code}}
    return json.dumps(body).encode()


FAULTS: dict[str, list[bytes] | Response] = {
    "works": [],
    "status_400": Response(error(400), 400),
    "status_404": Response("<h1>it says why</h1>\xff", 404),
    "status_500": Response(error(500), 500),
    "status_503": Response(error(503), 503),
    "status_200_503": Response(error(503), 200, media_type="application/json"),
    "error_event_400": [event(), b"data: " + error(400) + b"\n\n"],
    "error_event_500": [event(), b"data: " + error(500) + b"\n\n"],
    "error_event_without_code": [event(), b"data: " + error("BadRequestError") + b"\n\n"],
    "aborted": [event(), event(finish_reason="abort", token_ids=[])],
    "garbage_event": [event(), b"data: {garbage\n\n"],
    "event_is_no_object": [event(), b"data: [1, 2]\n\n"],
    "event_lacks_choices": [event(), b"data: {}\n\n"],
    "ids_are_missing": [event(token_ids=None)],
    "invalid_utf8": [event(), b'data: {"choices": [{"text": "\xff\xfe"}]}\n\n'],
    "id_too_large": [event(token_ids=[10**6])],
    "id_negative": [event(token_ids=[-1])],
    "id_is_text": [event(token_ids=["1"])],
    "unknown_finish": [event(finish_reason="mood")],
    "ends_before_the_last_event": [event(), b"data: [DONE]\n\n"],
    "ends_in_mid_event": [event(), event()[:20]],
    "brings_too_many": [event(token_ids=[5] * 5)] * 20,
    "silent_in_mid_stream": [event(), b"silence"],
    "pings_in_mid_stream": [event(), b"pings"],
    "dies_in_prefill": [b"death"],
    "dies_in_decode": [event(), b"death"],
    "dies_at_abort": [event(), b"death when it is left"],
}


class FakeVllm:
    """The server."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.language = FakeLanguage(options.vocabulary_size, options.end_id, 300)
        self.running = 0
        self.lists_nothing = options.lists_nothing_at_first
        self.first_fault = options.first_fault
        self.app = Starlette(
            routes=[
                Route("/v1/models", self.models),
                Route("/metrics", self.metrics),
                Route("/v1/completions", self.completions, methods=["POST"]),
            ]
        )

    async def models(self, request: Request) -> Response:
        del request
        model = {"id": "served", "owned_by": self.options.owned_by, "max_model_len": 512}
        listed, self.lists_nothing = [] if self.lists_nothing else [model], False
        return JSONResponse({"object": "list", "data": listed})

    async def metrics(self, request: Request) -> Response:
        del request
        return PlainTextResponse(f"vllm:num_requests_running {self.running}\n")

    async def completions(self, request: Request) -> Response:
        body = await request.json()
        prompt = body["prompt"]
        names = list(FAULTS)
        played = FAULTS[names[prompt[0]]] if 0 < prompt[0] < len(names) else None
        if self.first_fault:
            played, self.first_fault = FAULTS[self.first_fault], ""
        if isinstance(played, Response):
            return played
        if played is not None:
            return StreamingResponse(self.play(played), media_type="text/event-stream")
        if len(prompt) + body["max_tokens"] > 512 or body["model"] != "served":
            return Response(error(400), 400)
        if not body.get("stream"):
            return JSONResponse({"choices": [self.scored(prompt)]})
        return StreamingResponse(self.stream(body), media_type="text/event-stream")

    async def play(self, parts: list[bytes]) -> AsyncIterator[bytes]:
        for part in parts:
            if part == b"silence":
                await asyncio.Event().wait()
            elif part == b"pings":
                while True:
                    yield b": ping\n\n"
                    await asyncio.sleep(0.02)
            elif part == b"death":
                # What was written before is on its way.
                await asyncio.sleep(0.05)
                os._exit(1)
            elif part == b"death when it is left":
                try:
                    await asyncio.Event().wait()
                finally:
                    os._exit(1)
            yield part

    def scored(self, prompt: list[int]) -> dict[str, Any]:
        places: list[dict[str, Any] | None] = [None]
        state = self.language.state(prompt[:1])
        for token_id in prompt[1:]:
            logprob = self.language.logprob(state, token_id)
            places.append({str(token_id): {"logprob": logprob, "rank": 1}})
            state = self.language.after(state, token_id)
        return {"index": 0, "text": "a", "prompt_logprobs": places}

    async def stream(self, body: dict[str, Any]) -> AsyncIterator[bytes]:
        self.running += 1
        try:
            async for data in self.decoded(body):
                yield data
        finally:
            self.running -= 1
        yield b'data: {"choices": [], "usage": {"total_tokens": 1}}\n\ndata: [DONE]\n\n'

    async def decoded(self, body: dict[str, Any]) -> AsyncIterator[bytes]:
        state = self.language.state(body["prompt"])
        for position in range(body["max_tokens"]):
            chosen = self.language.sample(state, body["temperature"], body["seed"], position)
            known = self.language.logprobs(state)
            stop = chosen in {self.options.end_id, *body["stop_token_ids"]}
            last = position + 1 == body["max_tokens"]
            told = None
            if body.get("logprobs"):
                top = dict(list(known.items())[: body["logprobs"]]) | {chosen: known[chosen]}
                told = {
                    "tokens": [f"token_id:{chosen}"],
                    "token_logprobs": [known[chosen]],
                    "top_logprobs": [{f"token_id:{i}": p for i, p in top.items()}],
                }
            finish = "stop" if stop else "length" if last else None
            ids = [chosen] if body.get("return_token_ids") and self.options.gives_ids else None
            text = "" if stop else "a"
            yield event(text=text, token_ids=ids, logprobs=told, finish_reason=finish)
            if finish:
                return
            state = self.language.after(state, chosen)
            await asyncio.sleep(0.001)


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--vocabulary-size", type=int, required=True)
    parser.add_argument("--end-id", type=int, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--owned-by", default="vllm")
    parser.add_argument("--lists-nothing-at-first", action="store_true")
    parser.add_argument("--first-fault", choices=list(FAULTS), default="")
    parser.add_argument("--gives-no-ids", dest="gives_ids", action="store_false")
    threading.Thread(target=_end_with_input, daemon=True).start()
    options = parser.parse_args()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", options.port))
    app = FakeVllm(options).app
    sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}) + "\n")
    sys.stdout.flush()
    config = uvicorn.Config(app, log_level="error", lifespan="off")
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
