"""Speaks SGLang's protocol over real HTTP, as the sources of 0.5.12 to 0.5.23 write it.

Requests run whether or not somebody reads them, until `/abort_request` names them (or the beginning
of their ids), so that it shows what a caller must do. The first id of a prompt chooses a fault, by
its place in `FAULTS`. The first line of standard output is the address.
"""

import argparse
import asyncio
import json
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.server.engine.fake_language import FakeLanguage

#: Over the bound of `server.engine.sse`.
TOO_LONG = 17 * 1024 * 1024
SAMPLING_KEYS = frozenset(
    {
        *("max_new_tokens", "min_new_tokens", "temperature", "top_p", "top_k", "min_p", "n"),
        *("frequency_penalty", "presence_penalty", "repetition_penalty", "sampling_seed"),
        *("stop_token_ids", "ignore_eos", "skip_special_tokens", "no_stop_trim"),
    }
)

Play = Callable[[str], AsyncIterator[bytes]]
FAULTS: dict[str, "Play | Response"] = {"works": Response()}


def fault(play: Play) -> Play:
    """Add a fault by the name of its function."""
    FAULTS[play.__name__] = play
    return play


def event(**changes: Any) -> bytes:  # noqa: ANN401
    meta = {"id": "r", "finish_reason": None, "prompt_tokens": 1, "completion_tokens": 1}
    body = {"text": "a", "output_ids": [5], "meta_info": meta}
    if "meta_info" in changes:
        changes["meta_info"] = meta | changes["meta_info"]
    return b"data: " + json.dumps(body | changes).encode() + b"\n\n"


def aborted(**reason: Any) -> bytes:  # noqa: ANN401
    finish = {"type": "abort", "message": "it says why", **reason}
    return event(meta_info={"finish_reason": finish})


def status(code: int) -> Response:
    return JSONResponse({"error": {"message": "it says why", "code": code}}, code)


for _code in (400, 401, 429, 500, 503):
    FAULTS[f"status_{_code}"] = status(_code)
FAULTS["status_404_in_html"] = Response("<h1>it says why</h1>", 404, media_type="text/html")


def told(name: str, *parts: bytes) -> None:
    async def play(rid: str) -> AsyncIterator[bytes]:
        del rid
        for part in parts:
            yield part

    FAULTS[name] = play


told("error_event_of_0_5_12", b'data: {"error": {"message": "it says why"}}\n\n')
for _code in (400, 500, 503):
    _error = json.dumps({"error": {"message": "it says why", "code": _code}}).encode()
    told(f"error_event_{_code}", event(), b"data: " + _error + b"\n\n")
    told(f"abort_{_code}", event(), aborted(status_code=_code))
told("abort_by_somebody", event(), aborted())
told("garbage_event", event(), b"data: {garbage\n\n")
told("event_is_no_object", event(), b"data: [1, 2]\n\n")
told("event_lacks_its_ids", b'data: {"text": "a", "meta_info": {}}\n\n')
told("event_lacks_its_meta", b'data: {"text": "a", "output_ids": [1]}\n\n')
told("invalid_utf8", event(), b'data: {"text": "\xff\xfe"}\n\n')
told("id_too_large", event(output_ids=[10**6]))
told("id_negative", event(output_ids=[-1]))
told("id_is_text", event(output_ids=["1"]))
told("id_is_a_fraction", event(output_ids=[1.5]))
told("id_is_a_truth_value", event(output_ids=[True]))
told("ids_are_missing", event(), event(meta_info={"completion_tokens": 9}))
told("no_numbers", event(), event(meta_info={
    "completion_tokens": 2, "finish_reason": {"type": "stop", "matched": "NaN happened"},
}))  # fmt: skip
told("unknown_finish", event(meta_info={"finish_reason": {"type": "mood"}}))
told("event_too_long", event(), b"data: " + b"x" * TOO_LONG)
told("ends_in_mid_event", event(), event()[:20])
told("brings_too_many", *[event(meta_info={"completion_tokens": n}) for n in range(1, 99)])
told("ends_before_the_last_event", event(), b"data: [DONE]\n\n")


@fault
async def breaks_in_mid_stream(rid: str) -> AsyncIterator[bytes]:
    del rid
    yield event()
    raise ConnectionError("uvicorn closes the connection")


@fault
async def silent_from_the_start(rid: str) -> AsyncIterator[bytes]:
    await until_aborted(rid)
    yield aborted()


@fault
async def silent_in_mid_stream(rid: str) -> AsyncIterator[bytes]:
    yield event()
    await until_aborted(rid)


@fault
async def dies_in_prefill(rid: str) -> AsyncIterator[bytes]:
    if rid:
        say("Scheduler hit an exception: CUDA error")
        os._exit(1)
    yield b""


@fault
async def dies_in_decode(rid: str) -> AsyncIterator[bytes]:
    del rid
    yield event()
    await asyncio.sleep(0.05)
    os._exit(1)


@fault
async def dies_at_abort(rid: str) -> AsyncIterator[bytes]:
    DIE_AT.add(rid)
    while True:
        yield event(output_ids=[], meta_info={"completion_tokens": 0})
        await asyncio.sleep(0.01)


DIE_AT: set[str] = set()
SILENT: dict[str, asyncio.Event] = {}


async def until_aborted(rid: str) -> None:
    SILENT[rid] = asyncio.Event()
    await SILENT[rid].wait()
    del SILENT[rid]


def say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@dataclass(eq=False)
class Running:
    """One request, as SGLang's tokenizer manager keeps it."""

    rid: str
    prompt: list[int]
    body: dict[str, Any]
    ids: list[int] = field(default_factory=list)
    logprobs: list[tuple[float, int, None]] = field(default_factory=list)
    tops: list[list[tuple[float, int, None]]] = field(default_factory=list)
    finish: dict[str, Any] | None = None
    sent: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def meta(self, start: int) -> dict[str, Any]:
        meta: dict[str, Any] = {
            "id": self.rid,
            "finish_reason": self.finish,
            "prompt_tokens": len(self.prompt),
            "completion_tokens": len(self.ids),
            "cached_tokens": 0,
        }
        if self.body.get("return_logprob"):
            meta["input_token_logprobs"] = []
            meta["output_token_logprobs"] = self.logprobs[start:]
            if self.body.get("top_logprobs_num"):
                meta["output_top_logprobs"] = self.tops[start:]
        return meta


class FakeSglang:
    """The server."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.language = FakeLanguage(options.vocabulary_size, options.end_id, options.ordinary)
        self.running: dict[str, Running] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.bytes_sent = 0
        paths = {
            "/health": self.health,
            "/generate": self.generate,
            "/abort_request": self.abort_request,
            "/model_info": self.model_info,
            "/server_info": self.server_info,
            "/v1/loads": self.loads,
        }
        posts = {"/generate", "/abort_request"}
        self.app = Starlette(
            routes=[
                Route(path, handler, methods=["POST" if path in posts else "GET"])
                for path, handler in paths.items()
                if path not in options.lacks
            ]
        )

    def refuses(self, request: HttpRequest) -> Response | None:
        key = self.options.api_key
        if key and request.headers.get("authorization") != f"Bearer {key}":
            return JSONResponse({"error": "Unauthorized"}, 401)
        return None

    async def health(self, request: HttpRequest) -> Response:
        # Without a key, as in SGLang.
        del request
        return Response()

    async def model_info(self, request: HttpRequest) -> Response:
        return self.refuses(request) or JSONResponse({"model_path": "fake"})

    async def server_info(self, request: HttpRequest) -> Response:
        options = self.options
        info = {
            "version": options.version,
            "context_length": options.context_length,
            "max_req_input_len": options.context_length - 6,
            "enable_deterministic_inference": options.deterministic,
            "incremental_streaming_output": options.incremental_streaming_output,
            "internal_states": [{}],
        }
        return self.refuses(request) or JSONResponse(info)

    async def loads(self, request: HttpRequest) -> Response:
        load = {"dp_rank": 0, "num_running_reqs": len(self.running), "num_waiting_reqs": 0}
        return self.refuses(request) or JSONResponse({"loads": [load]})

    async def abort_request(self, request: HttpRequest) -> Response:
        body = await request.json()
        rid = body.get("rid", "")
        if rid in DIE_AT:
            os._exit(1)
        if rid in SILENT:
            SILENT[rid].set()
        if body.get("abort_all") or rid in self.running:
            for other in list(self.running.values()):
                if other.rid.startswith(rid):
                    self.end(other, {"type": "abort", "message": "Abort by the user"})
        return self.refuses(request) or Response()

    async def generate(self, request: HttpRequest) -> Response:
        refused = self.refuses(request)
        if refused:
            return refused
        body = await request.json()
        prompt, rid = body["input_ids"], body["rid"]
        names = list(FAULTS)
        played = FAULTS[names[prompt[0]]] if 0 < prompt[0] < len(names) else None
        if isinstance(played, Response):
            return played
        if played is not None:
            return StreamingResponse(played(rid), media_type="text/event-stream")
        if self.options.deterministic and body["sampling_params"].get("min_p"):
            # An assertion of its sampler, which ends the server.
            os._exit(1)
        problem = self.problem(prompt, body["sampling_params"])
        if not body["stream"]:
            return await self.whole(body) if not problem else status(400)
        return StreamingResponse(self.stream(body, problem), media_type="text/event-stream")

    def problem(self, prompt: list[int], sampling: dict[str, Any]) -> str:
        wrong = set(sampling) - SAMPLING_KEYS
        if wrong:
            return f"unexpected keyword arguments {wrong}"
        if sampling.get("top_k", -1) == 0:
            return "top_k must be -1 (disable) or at least 1, got 0."
        total = len(prompt) + sampling["max_new_tokens"]
        if total > self.options.context_length:
            return f"Requested token count exceeds the model's maximum context length: {total}"
        if max(prompt) >= self.options.vocabulary_size:
            return "The input_ids contain values greater than the vocab size"
        return ""

    async def stream(self, body: dict[str, Any], problem: str) -> AsyncIterator[bytes]:
        if problem:
            yield b"data: " + json.dumps({"error": {"message": problem}}).encode() + b"\n\n"
        else:
            async for out in self.outputs(body):
                data = b"data: " + json.dumps(out).encode() + b"\n\n"
                self.bytes_sent += len(data)
                yield data
        yield b"data: [DONE]\n\n"

    async def outputs(self, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        running = Running(body["rid"], body["input_ids"], body)
        self.running[running.rid] = running
        task = asyncio.create_task(self.decode(running))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        incremental = self.options.incremental_streaming_output
        while True:
            await running.changed.wait()
            running.changed.clear()
            finished = running.finish is not None
            start = running.sent if incremental else 0
            running.sent = len(running.ids)
            yield {"text": "", "output_ids": running.ids[start:], "meta_info": running.meta(start)}
            if finished:
                return

    async def decode(self, running: Running) -> None:
        sampling = running.body["sampling_params"]
        state = self.language.state(running.prompt)
        ends = {self.options.end_id, *sampling.get("stop_token_ids", ())}
        room = self.options.context_length - 2 - len(running.prompt)
        most = min(sampling["max_new_tokens"], room)
        while running.finish is None:
            seed = sampling.get("sampling_seed", 42)
            position = len(running.ids)
            chosen = self.language.sample(state, sampling["temperature"], seed, position)
            known = self.language.logprobs(state)
            running.ids.append(chosen)
            running.logprobs.append((known[chosen], chosen, None))
            top = list(known.items())[: running.body.get("top_logprobs_num", 0)]
            running.tops.append([(logprob, token_id, None) for token_id, logprob in top])
            state = self.language.after(state, chosen)
            if chosen in ends:
                self.end(running, {"type": "stop", "matched": chosen})
            elif len(running.ids) >= most:
                self.end(running, {"type": "length", "length": most})
            running.changed.set()
            await asyncio.sleep(self.options.step_s)

    def end(self, running: Running, reason: dict[str, Any]) -> None:
        running.finish = reason
        self.running.pop(running.rid, None)
        running.changed.set()

    async def whole(self, body: dict[str, Any]) -> Response:
        ids, start = body["input_ids"], body["logprob_start_len"]
        entries: list[tuple[float | None, int, None]] = [(None, ids[start], None)]
        state = self.language.state(ids[: start + 1])
        for token_id in ids[start + 1 :]:
            entries.append((self.language.logprob(state, token_id), token_id, None))
            state = self.language.after(state, token_id)
        meta = {"input_token_logprobs": entries, "finish_reason": {"type": "length"}}
        return JSONResponse({"text": "", "output_ids": [0], "meta_info": meta})


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--api-key", default="")
    parser.add_argument("--version", default="0.5.15")
    parser.add_argument("--context-length", type=int, default=520)
    parser.add_argument("--incremental-streaming-output", action="store_true")
    parser.add_argument("--deterministic", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--vocabulary-size", type=int, default=1000)
    parser.add_argument("--end-id", type=int, default=999)
    parser.add_argument("--ordinary", type=int, default=300)
    parser.add_argument("--step-s", type=float, default=0.001)
    parser.add_argument("--lacks", nargs="*", default=())
    return parser.parse_known_args(arguments)[0]


def serve(arguments: list[str]) -> None:
    """Serve until killed."""
    options = parsed(arguments)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", options.port))
    config = uvicorn.Config(FakeSglang(options).app, log_level="error", lifespan="off")
    sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}) + "\n")
    sys.stdout.flush()
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_with_input, daemon=True).start()
    serve(sys.argv[1:])
