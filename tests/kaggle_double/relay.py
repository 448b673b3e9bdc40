"""The two ends of the contest's gRPC: one worker here, a patient and then a strict client there."""

import json
import socket
import time
from collections.abc import Callable
from concurrent import futures
from types import FunctionType, MethodType
from typing import Any

import grpc

from tests.kaggle_double.messages import METHOD, SERVICE, Request, Response
from tests.kaggle_double.payload import decode, encode

#: In this order the server takes the first free one, and the client tries them.
PORTS = [50051, *range(60053, 60063)]
#: Seconds in which the inference server must have started.
STARTUP_LIMIT_S = 900.0
#: A call whose connection breaks is sent again: an endpoint may be asked the same twice.
RETRIES = {
    "maxAttempts": 5,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 1,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A server that does not answer a ping within 5 s is taken for gone.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    (
        "grpc.service_config",
        json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": RETRIES}]}),
    ),
    # A port that is taken is taken: two servers never share it.
    ("grpc.so_reuseport", 0),
]


class NeverStarted(Exception):
    """No inference server answered in time."""


class DeadlineExceeded(Exception):
    """A call after the first took longer than the gateway allows."""


class Client:
    """The gateway's end. The first call has no deadline; the others have `deadline_s`."""

    def __init__(
        self,
        *,
        ports: list[int] | None = None,
        deadline_s: float = 3600.0,
        startup_limit_s: float = STARTUP_LIMIT_S,
    ) -> None:
        self._ports = ports or PORTS
        self._startup_limit_s = startup_limit_s
        self.deadline_s = deadline_s
        self._channel: grpc.Channel | None = None

    def send(self, name: str, *arguments: Any, **named: Any) -> Any:
        """Call an endpoint and return its value.

        Raises:
            NeverStarted, DeadlineExceeded: as said there.
            grpc.RpcError: the endpoint raised, or the server is gone.
        """
        request = Request(
            name=name,
            args=map(encode, arguments),
            kwargs={key: encode(value) for key, value in named.items()},
        )
        if self._channel is None:
            return decode(self._first(request).payload)
        try:
            reply = self._call(self._channel, request, self.deadline_s)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise DeadlineExceeded(f"no answer within {self.deadline_s:g} s") from error
            raise
        return decode(reply.payload)

    def close(self) -> None:
        """Close the connection."""
        if self._channel is not None:
            self._channel.close()

    def _first(self, request: Any) -> Any:
        """Try each port in turn until one answers."""
        began = time.monotonic()
        while time.monotonic() - began < self._startup_limit_s:
            for port in self._ports:
                channel = grpc.insecure_channel(f"localhost:{port}", options=OPTIONS)
                try:
                    reply = self._call(channel, request, None)
                except grpc.RpcError as error:
                    channel.close()
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                else:
                    self._channel = channel
                    return reply
            time.sleep(0.05)
        raise NeverStarted(f"no inference server within {self._startup_limit_s:g} s")

    def _call(self, channel: grpc.Channel, request: Any, timeout_s: float | None) -> Any:
        method = channel.unary_unary(
            f"/{SERVICE}/{METHOD}",
            request_serializer=Request.SerializeToString,
            response_deserializer=Response.FromString,
        )
        return method(request, timeout=timeout_s, wait_for_ready=False)


def define_server(*endpoints: Callable[..., Any]) -> tuple[grpc.Server, int]:
    """Return a server of named functions and its port, bound and not yet started.

    Raises:
        ValueError: an endpoint is no named function, or every port is taken.
    """
    for endpoint in endpoints:
        if not isinstance(endpoint, FunctionType | MethodType) or endpoint.__name__ == "<lambda>":
            raise ValueError(f"endpoints must be named functions, not {endpoint!r}")
    listeners = {endpoint.__name__: endpoint for endpoint in endpoints}

    def send(request: Any, _context: grpc.ServicerContext) -> Any:
        if request.name not in listeners:
            raise NotImplementedError(f"No listener for {request.name} was registered.")
        arguments = map(decode, request.args)
        named = {key: decode(value) for key, value in request.kwargs.items()}
        return Response(payload=encode(listeners[request.name](*arguments, **named)))

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1), options=OPTIONS)
    handler = grpc.unary_unary_rpc_method_handler(
        send,
        request_deserializer=Request.FromString,
        response_serializer=Response.SerializeToString,
    )
    generic = grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})
    server.add_generic_rpc_handlers((generic,))
    port = _free_port()
    server.add_insecure_port(f"localhost:{port}")
    return server, port


def _free_port() -> int:
    port: int
    for port in PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("localhost", port))
            except OSError:
                continue
        return port
    raise ValueError(f"none of the ports {PORTS} is free")
