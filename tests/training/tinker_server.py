"""A small server that speaks Tinker's protocol and really trains, an n-gram model with Adam.

It covers what LoRA training uses: sessions, models, forward and backward passes, steps,
checkpoints, sampling, futures. Weights are a table of logits, [the tokens before, token].
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response
from numpy.typing import NDArray
from tinker.proto import tinker_public_pb2 as wire

from tests.training.ngram import Model

VOCABULARY = 64
_TYPES: dict[int, type] = {
    wire.DTYPE_FLOAT32: np.float32, wire.DTYPE_INT64: np.int64, wire.DTYPE_INT32: np.int32,
}  # fmt: skip


@dataclass
class Service:
    """Everything that the server knows.

    `fail` names a path whose calls fail, after so many; the futures of calls in `stall` never come.
    `bases` are the models that can be trained, others begin empty. `exported` are the files of
    every exported adapter.
    """

    bases: dict[str, Model] = field(default_factory=dict)
    samplers: dict[str, Model] = field(default_factory=dict)
    stall: set[str] = field(default_factory=set)
    exported: dict[str, bytes] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    checkpoints: dict[str, Model] = field(default_factory=dict)
    futures: dict[str, Any] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    fail: dict[str, int] = field(default_factory=dict)
    url: str = ""
    sessions: int = 0

    def future(self, value: Any, call: str = "") -> dict[str, Any]:  # noqa: ANN401
        name = f"request-{len(self.futures)}"
        self.futures[name] = None if call in self.stall else value
        return {"request_id": name, "model_id": None}

    def new_model(self, base: str) -> Model:
        return self.bases[base].state() if base in self.bases else Model(base, VOCABULARY)

    def sampler(self, model: Model) -> str:
        name = f"sampler-{len(self.samplers)}"
        self.samplers[name] = model
        return name

    def checkpoint(self, body: dict[str, Any], kind: str) -> dict[str, Any]:
        path = f"tinker://{body['model_id']}/{kind}/{body['path']}"
        if path in self.checkpoints:
            return self.future({"error": f"{path} exists", "category": "user"})
        self.checkpoints[path] = self.models[body["model_id"]].state()
        return self.future({"path": path})


def tensor(message: Any) -> NDArray[Any]:  # noqa: ANN401
    """Return a tensor of a request, dense or sparse rows."""
    dtype, shape = _TYPES[message.dtype], list(message.shape)
    if not message.HasField("sparse_csr"):
        return np.frombuffer(message.dense, dtype)
    values: NDArray[Any] = np.frombuffer(message.sparse_csr.values, dtype)
    rows = np.frombuffer(message.sparse_csr.crow_indices, np.int64)
    columns = np.frombuffer(message.sparse_csr.col_indices, np.int64)
    dense: NDArray[Any] = np.zeros(shape, dtype)
    for row in range(len(rows) - 1):
        part = slice(rows[row], rows[row + 1])
        dense[row, columns[part]] = values[part]
    return dense.reshape(-1)


def output(logprobs: list[NDArray[np.float64]], loss: float) -> bytes:
    """Return the result of a pass as it goes over the wire."""
    message = wire.ForwardBackwardOutput(loss_fn_output_type="ArrayRecord")
    message.metrics["loss:sum"] = loss
    record = message.loss_fn_outputs.add()
    record.num_datums = len(logprobs)
    arrays = [each.astype(np.float32) for each in logprobs]
    column = record.fields["logprobs"]
    column.dtype = wire.DTYPE_FLOAT32
    column.data = b"".join(each.tobytes() for each in arrays)
    sizes = [0, *(each.nbytes for each in arrays)]
    column.offsets = np.cumsum(sizes).astype(np.int64).tobytes()
    return bytes(message.SerializeToString())


def samples(service: Service, body: dict[str, Any]) -> bytes:
    """Return the answer to a request for samples as it goes over the wire."""
    model, message = service.samplers[body["sampling_session_id"]], wire.SampleResponse()
    prompt = [token for chunk in body["prompt"]["chunks"] for token in chunk["tokens"]]
    asked = body["sampling_params"]
    stops = set(asked.get("stop") or ())
    for number in range(body["num_samples"]):
        seed = asked.get("seed", 0) + number
        ids, logprobs = model.sample(prompt, asked["max_tokens"], asked["temperature"], stops, seed)
        sequence = message.sequences.add()
        sequence.tokens = np.asarray(ids, np.int32).tobytes()
        sequence.logprobs = np.asarray(logprobs, np.float32).tobytes()
        ended = ids[-1] in stops
        sequence.stop_reason = wire.STOP_REASON_STOP if ended else wire.STOP_REASON_LENGTH
    if body.get("prompt_logprobs"):
        logs = model.logprobs(model.contexts(prompt[:-1]))
        own = logs[np.arange(len(prompt) - 1), prompt[1:]]
        message.prompt_logprobs = np.concatenate([[np.nan], own]).astype(np.float32).tobytes()
    return bytes(message.SerializeToString())


def make_app(service: Service) -> FastAPI:  # noqa: C901, PLR0915 - the routes of a protocol
    """Return the server."""
    app = FastAPI()

    @app.middleware("http")
    async def note(request: Request, call_next: Any) -> Any:  # noqa: ANN401
        name = request.url.path.removeprefix("/api/v1/")
        service.calls.append(name)
        if name in service.fail:
            service.fail[name] -= 1
            if service.fail[name] < 0:
                return Response('{"detail": "told to fail"}', 400)
        return await call_next(request)

    @app.post("/api/v1/create_session")
    def create_session() -> dict[str, Any]:
        service.sessions += 1
        return {"session_id": f"session-{service.sessions}"}

    @app.post("/api/v1/create_model")
    async def create_model(request: Request) -> dict[str, Any]:
        body = await request.json()
        name = f"{body['session_id']}:train:{body['model_seq_id']}"
        service.models[name] = service.new_model(body["base_model"])
        return service.future({"model_id": name, "type": "create_model"})

    @app.post("/api/v1/get_info")
    async def get_info(request: Request) -> dict[str, Any]:
        name = (await request.json())["model_id"]
        told = {"model_name": service.models[name].base, "arch": "bigram"}
        return {"model_data": told, "model_id": name, "is_lora": True, "lora_rank": 8}

    @app.post("/api/v1/forward_backward")
    async def forward_backward(request: Request) -> dict[str, Any]:
        message = wire.ForwardBackwardRequest.FromString(await request.body())
        model, logprobs, loss = service.models[message.model_id], [], 0.0
        for datum in message.data:
            chunks = [np.frombuffer(c.encoded_text.tokens, np.int32) for c in datum.model_input]
            inputs = {name: tensor(value) for name, value in datum.loss_fn_inputs.items()}
            tokens, learn = np.concatenate(chunks), not message.forward_only
            bounds = dict(message.loss_fn_config)
            own = model.loss(tokens, inputs, message.loss_fn, bounds, learn=learn)
            logprobs.append(own)
            loss -= float(own @ inputs.get("weights", np.zeros(len(own))))
        return service.future(output(logprobs, loss))

    @app.post("/api/v1/optim_step")
    async def optim_step(request: Request) -> dict[str, Any]:
        body = await request.json()
        service.models[body["model_id"]].step(body["adam_params"]["learning_rate"])
        return service.future({"metrics": {}}, "optim_step")

    @app.post("/api/v1/save_weights")
    async def save_weights(request: Request) -> dict[str, Any]:
        return service.checkpoint(await request.json(), "weights")

    @app.post("/api/v1/save_weights_for_sampler")
    async def save_for_sampler(request: Request) -> dict[str, Any]:
        body = await request.json()
        if body.get("path") is None:
            model = service.models[body["model_id"]].state()
            return service.future({"sampling_session_id": service.sampler(model)})
        return service.checkpoint(body, "sampler_weights")

    @app.post("/api/v1/save_weights_external")
    async def save_external(request: Request) -> dict[str, Any]:
        return service.checkpoint(await request.json(), "external_weights")

    @app.get(
        "/api/v1/training_runs/{run}/checkpoints/external_weights/{name}/external_weights_urls"
    )
    async def external_urls(run: str, name: str) -> dict[str, Any]:
        assert f"tinker://{run}/external_weights/{name}" in service.checkpoints
        urls = {each: f"{service.url}/files/{each}?secret=grant" for each in service.exported}
        return {"urls": urls, "expires": "2100-01-01T00:00:00Z"}

    @app.get("/files/{name}")
    async def file(name: str) -> Response:
        return Response(service.exported[name])

    @app.post("/api/v1/create_sampling_session")
    async def create_sampling_session(request: Request) -> dict[str, Any]:
        path = (await request.json())["model_path"]
        return {"sampling_session_id": service.sampler(service.checkpoints[path])}

    @app.get("/api/v1/samplers/{name}")
    async def sampler(name: str) -> dict[str, Any]:
        return {"sampler_id": name, "base_model": service.samplers[name].base}

    @app.post("/api/v1/asample")
    async def sample(request: Request) -> dict[str, Any]:
        body = await request.json()
        sampled = await asyncio.to_thread(samples, service, body)
        names = [f"sequence-{place}" for place in range(body["num_samples"])]
        return service.future(sampled) | {"sample_sequence_ids": names}

    @app.post("/api/v1/load_weights")
    async def load_weights(request: Request) -> dict[str, Any]:
        body = await request.json()
        name = f"{body['session_id']}:train:{body['model_seq_id']}"
        service.models[name] = service.checkpoints[body["path"]].state()
        return service.future({"path": body["path"], "type": "load_weights"})

    @app.post("/api/v1/retrieve_future")
    async def retrieve(request: Request) -> Any:  # noqa: ANN401
        name = (await request.json())["request_id"]
        value = service.futures[name]
        if value is None:
            await asyncio.sleep(0.2)  # the client asks again at once
            return {"type": "try_again", "request_id": name, "queue_state": "active"}
        if isinstance(value, bytes):
            return Response(value, media_type="application/x-protobuf")
        return value

    @app.api_route("/api/v1/{path:path}", methods=["GET", "POST"])
    async def rest() -> dict[str, Any]:  # configuration, telemetry, heartbeats: the defaults
        return {"status": "accepted"}

    return app


@contextlib.contextmanager
def running() -> Iterator[Service]:
    """Serve on a free port of the loopback address; yields what the server knows."""
    service = Service()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        service.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(make_app(service), log_config=None, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield service
        finally:
            server.should_exit = True
            thread.join()
