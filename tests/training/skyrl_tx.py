"""Starts skyrl-tx, the open server of Tinker's API, for newer SDKs; an environment of its own.

    PYTHON tests/training/skyrl_tx.py --base-model FOLDER --port PORT

skyrl-tx 0.3.0 speaks JSON as the SDK 0.24 did. Newer ones send passes, and want their results and
samples, as protocol buffers, and ask for two more routes. What is here translates.
"""

import argparse
import asyncio
import importlib
import json
import sys
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import numpy as np

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
PROTO = b"application/x-protobuf"
wire: Any = importlib.import_module("tinker.proto.tinker_public_pb2")
_TYPES = {
    wire.DTYPE_FLOAT32: (np.float32, "float32"), wire.DTYPE_INT64: (np.int64, "int64"),
    wire.DTYPE_INT32: (np.int32, "int64"),
}  # fmt: skip


def tensor(message: Any) -> dict[str, Any]:  # noqa: ANN401 - of a package without types
    """Return a tensor of a request as JSON."""
    dtype, name = _TYPES[message.dtype]
    shape = list(message.shape)
    if not message.HasField("sparse_csr"):
        return {"data": np.frombuffer(message.dense, dtype).tolist(), "dtype": name, "shape": shape}
    sparse, dense = message.sparse_csr, np.zeros(shape, dtype)
    values = np.frombuffer(sparse.values, dtype)
    rows = np.frombuffer(sparse.crow_indices, np.int64)
    columns = np.frombuffer(sparse.col_indices, np.int64)
    for row in range(len(rows) - 1):
        part = slice(rows[row], rows[row + 1])
        dense[row, columns[part]] = values[part]
    return {"data": dense.reshape(-1).tolist(), "dtype": name, "shape": shape}


def pass_as_json(content: bytes) -> tuple[str, bytes]:
    """Return the path and the body of a pass, forward alone or not, as JSON."""
    message = wire.ForwardBackwardRequest.FromString(content)
    data = [
        {
            "model_input": {
                "chunks": [
                    {
                        "type": "encoded_text",
                        "tokens": np.frombuffer(chunk.encoded_text.tokens, np.int32).tolist(),
                    }
                    for chunk in datum.model_input
                ]
            },
            "loss_fn_inputs": {name: tensor(value) for name, value in datum.loss_fn_inputs.items()},
        }
        for datum in message.data
    ]
    asked = {
        "loss_fn": message.loss_fn, "loss_fn_config": dict(message.loss_fn_config) or None,
        "data": data,
    }  # fmt: skip
    name = "forward" if message.forward_only else "forward_backward"
    body = {"model_id": message.model_id, "seq_id": message.seq_id, f"{name}_input": asked}
    return f"/api/v1/{name}", json.dumps(body).encode()


def result_as_proto(content: bytes) -> bytes | None:
    """Return a pass's output or samples as a protocol buffer; None: it is something else."""
    told = json.loads(content)
    if "loss_fn_outputs" in told:
        return _outputs(told)
    return _samples(told) if "sequences" in told else None


def _outputs(told: dict[str, Any]) -> bytes:
    message = wire.ForwardBackwardOutput(loss_fn_output_type="ArrayRecord")
    for name, value in (told.get("metrics") or {}).items():
        message.metrics[name] = float(value)
    rows = told["loss_fn_outputs"]
    record = message.loss_fn_outputs.add()
    record.num_datums = len(rows)
    for name in rows[0] if rows else ():
        arrays = [np.asarray(row[name]["data"], np.float32).reshape(-1) for row in rows]
        column = record.fields[name]
        column.dtype = wire.DTYPE_FLOAT32
        column.data = b"".join(each.tobytes() for each in arrays)
        sizes = [0, *(each.nbytes for each in arrays)]
        column.offsets = np.cumsum(sizes).astype(np.int64).tobytes()
    return bytes(message.SerializeToString())


def _samples(told: dict[str, Any]) -> bytes:
    message = wire.SampleResponse()
    for each in told["sequences"]:
        sequence = message.sequences.add()
        sequence.tokens = np.asarray(each["tokens"], np.int32).tobytes()
        if each.get("logprobs") is not None:
            sequence.logprobs = np.asarray(each["logprobs"], np.float32).tobytes()
        ended = each["stop_reason"] != "length"
        sequence.stop_reason = wire.STOP_REASON_STOP if ended else wire.STOP_REASON_LENGTH
    if told.get("prompt_logprobs") is not None:
        known = [np.nan if value is None else value for value in told["prompt_logprobs"]]
        message.prompt_logprobs = np.asarray(known, np.float32).tobytes()
    return bytes(message.SerializeToString())


class Translated:
    """The server's application, with requests and answers in the form that the SDK expects."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = await _content(receive)
        headers = dict(scope["headers"])
        if headers.get(b"content-type") == PROTO:
            path, asked = pass_as_json(asked)
            headers |= {b"content-type": b"application/json"}
            headers[b"content-length"] = str(len(asked)).encode()
            scope = {
                **scope,
                "path": path,
                "raw_path": path.encode(),
                "headers": [*headers.items()],
            }
        start, body = await self._answer(scope, asked)
        if start["status"] == 200:
            start, body = _rewritten(scope["path"], headers, asked, start, body)
        await send(start)
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Message, content: bytes) -> tuple[Message, bytes]:
        """Return the start and the whole body of the server's own answer."""
        messages: list[Message] = []
        sent = False

        async def receive() -> Message:
            nonlocal sent
            if sent:
                await asyncio.Event().wait()
            sent = True
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Message) -> None:
            messages.append(message)

        await self._app(scope, receive, send)
        return messages[0], b"".join(each.get("body", b"") for each in messages[1:])


def _rewritten(
    path: str, headers: dict[bytes, bytes], asked: bytes, start: Message, body: bytes
) -> tuple[Message, bytes]:
    """Return an answer as newer SDKs want it."""
    kind, changed = b"application/json", body
    if path == "/api/v1/asample":
        told, count = json.loads(body), json.loads(asked).get("num_samples") or 1
        told.setdefault("sample_sequence_ids", [uuid.uuid4().hex for _ in range(count)])
        changed = json.dumps(told).encode()
    elif path == "/api/v1/retrieve_future" and headers.get(b"accept") == PROTO:
        encoded = result_as_proto(body)
        kind, changed = (kind, body) if encoded is None else (PROTO, encoded)
    if changed is body:
        return start, body
    drop = (b"content-length", b"content-type")
    kept = [(name, value) for name, value in start["headers"] if name.lower() not in drop]
    kept += [(b"content-length", str(len(changed)).encode()), (b"content-type", kind)]
    return {**start, "headers": kept}, changed


async def _content(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def main() -> None:
    """Serve until ended."""
    api: Any = importlib.import_module("tx.tinker.api")
    config: Any = importlib.import_module("tx.tinker.config")
    uvicorn: Any = importlib.import_module("uvicorn")
    spawn = asyncio.create_subprocess_exec

    async def with_this_python(*command: str, **more: Any) -> Any:  # noqa: ANN401
        if command[:2] == ("uv", "run"):  # its engine is a process, which it starts by uv
            command = (sys.executable, *command[command.index("-m") :])
        return await spawn(*command, **more)

    asyncio.create_subprocess_exec = with_this_python  # type: ignore[assignment]

    @api.app.post("/api/v1/client/config")  # type: ignore[untyped-decorator]
    async def client_config() -> dict[str, Any]:
        return {"pjwt_auth_enabled": False}

    @api.app.get("/api/v1/samplers/{name:path}")  # type: ignore[untyped-decorator]
    async def sampler(name: str) -> dict[str, Any]:
        return {"sampler_id": name, "base_model": api.app.state.engine_config.base_model}

    parser = argparse.ArgumentParser()
    config.add_model(parser, config.EngineConfig)
    parser.add_argument("--port", type=int, required=True)
    given = vars(parser.parse_args())
    known = {k: v for k, v in given.items() if k in config.EngineConfig.model_fields}
    api.app.state.engine_config = config.EngineConfig.model_validate(known)
    uvicorn.run(Translated(api.app), host="127.0.0.1", port=given["port"], log_level="warning")


if __name__ == "__main__":
    main()
