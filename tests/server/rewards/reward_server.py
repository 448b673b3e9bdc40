"""A server of process reward models over real HTTP, as vLLM or SGLang would be asked.

It has no model: a step's class follows from its text, so that what is read back can be known. Texts
are tokenised as far as marks go, which is what the routes depend on.
"""

import asyncio
import math
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

TAG, PLUS, MINUS = 12_902, 648, 387
#: Characters that the model takes; longer texts are refused as a server refuses them.
MOST_CHARACTERS = 2_000


def chance(step: str) -> float:
    """Return the probability that a step is right: the number that it says, else one half."""
    said = re.search(r"sure (0\.[0-9]+)", step)
    return float(said[1]) if said else 0.5


@dataclass
class RewardServer:
    """What it plays, and what it was asked."""

    model: str = "Qwen2.5-Math-PRM-7B"
    owner: str = "vllm"
    fault: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/models", self.models),
                Route("/pooling", self.pooling, methods=["POST"]),
                Route("/generate", self.generate, methods=["POST"]),
            ]
        )

    async def models(self, request: Request) -> Response:
        del request
        if self.fault == "no models":
            return JSONResponse({"data": []})
        return JSONResponse({"data": [{"id": self.model, "owned_by": self.owner}]})

    async def pooling(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(body)
        if (fault := await self.played(body["input"])) is not None:
            return fault
        *steps, _ = re.split(r"<extra_0>|ки", body["input"])
        rows: list[list[Any]] = [[1 - chance(step), chance(step)] for step in steps]
        if "ки" in body["input"]:
            rows = [row[::-1] for row in rows]
        if self.fault == "logits":
            rows = [[math.log(one), math.log(other)] for one, other in rows]
        if self.fault == "every token":
            rows *= 7
        if self.fault == "not numbers":
            rows = [["0.1", None]]
        return JSONResponse({"object": "list", "data": [{"index": 0, "data": rows}]})

    async def generate(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(body)
        if (fault := await self.played(body["text"])) is not None:
            return fault
        pieces = re.split(r"(ки)", body["text"])
        tokens = [TAG if piece == "ки" else 7 for piece in pieces]
        signs: list[Any] = [None]
        for place in range(1, len(pieces)):
            right = chance(pieces[place - 2]) if tokens[place - 1] == TAG else 0.5
            signs.append([[math.log(right), PLUS, None], [math.log(1 - right), MINUS, None]])
        meta = {
            "input_token_logprobs": [[-1.0, token, None] for token in tokens],
            "input_token_ids_logprobs": signs,
        }
        return JSONResponse({"text": "+", "meta_info": meta})

    async def played(self, text: str) -> Response | None:
        if self.fault == "silent":
            await asyncio.sleep(60)
        if self.fault == "garbage":
            return PlainTextResponse("<h1>it says why</h1>")
        if self.fault == "busy":
            return JSONResponse({"error": {"message": "it says why"}}, 503)
        if len(text) > MOST_CHARACTERS:
            message = "This model's maximum context length is smaller"
            return JSONResponse({"error": {"message": message}}, 400)
        return None


@contextmanager
def serving(played: RewardServer) -> Iterator[RewardServer]:
    """Serve on a free port of this machine for the length of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            played.app(), log_config=None, lifespan="off", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        # The socket listens already: a connection made now waits until it is accepted.
        played.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            yield played
        finally:
            server.should_exit = server.force_exit = True
            thread.join(timeout=10)
