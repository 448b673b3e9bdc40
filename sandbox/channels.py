"""The two Jupyter channels to a kernel: requests go out on shell, output comes in on iopub.

Sockets are read without waiting; `sandbox.process.wait_readable` on `descriptors` waits for more,
so that a cancelled wait never loses a message.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.connect import KernelConnectionInfo, write_connection_file

from sandbox.messages import Codec

#: Messages taken from the sockets at a time, so that a flood cannot hold the event loop.
_BATCH = 64

#: Far above a cell's echo (1 MB of code, escaped) and output; a longer message ends the connection.
_LONGEST_MESSAGE_BYTES = 32 * 1024 * 1024


class Channel(Enum):
    """Where a message came from."""

    SHELL = auto()
    IOPUB = auto()


@dataclass(frozen=True, slots=True)
class Message:
    """One authentic message; its content is whatever the kernel's process chose to send."""

    channel: Channel
    kind: str
    #: Id of the request it belongs to.
    parent: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Connection:
    """Addresses and message key of one kernel."""

    socket_prefix: Path
    key: bytes

    @classmethod
    def create(cls, socket_prefix: Path) -> "Connection":
        """A connection with a new key of 256 bits."""
        return cls(socket_prefix, secrets.token_hex(32).encode())

    def write(self, path: Path) -> None:
        """Write Jupyter's connection file, readable by this user only."""
        write_connection_file(
            str(path),
            # Over ipc a port is the end of a socket's path.
            shell_port=1,
            iopub_port=2,
            stdin_port=3,
            control_port=4,
            hb_port=5,
            ip=str(self.socket_prefix),
            key=self.key,
            transport="ipc",
        )

    def information(self) -> KernelConnectionInfo:
        """What jupyter_client's managers and clients take in place of the file."""
        return {
            "shell_port": 1,
            "iopub_port": 2,
            "stdin_port": 3,
            "control_port": 4,
            "hb_port": 5,
            "transport": "ipc",
            "ip": str(self.socket_prefix),
            "key": self.key,  # type: ignore[typeddict-item]  # managers compare bytes
            "signature_scheme": "hmac-sha256",
        }

    @property
    def shell_address(self) -> str:
        """ZMQ's address of the shell channel."""
        return f"ipc://{self.socket_prefix}-1"

    @property
    def iopub_address(self) -> str:
        """ZMQ's address of the iopub channel."""
        return f"ipc://{self.socket_prefix}-2"


class Channels:
    """Client side of a kernel that has bound its sockets. Close it when done."""

    def __init__(self, context: "zmq.Context[Any]", connection: Connection) -> None:
        self._codec = Codec(connection.key)
        self._shell = _connected(context, zmq.DEALER, connection.shell_address)
        try:
            self._iopub = _connected(context, zmq.SUB, connection.iopub_address)
        except zmq.ZMQError:
            self._shell.close(linger=0)
            raise

    @property
    def descriptors(self) -> tuple[int, int]:
        """Readable when there may be messages, and until `receive` has emptied the sockets."""
        return int(self._shell.getsockopt(zmq.FD)), int(self._iopub.getsockopt(zmq.FD))

    def send_execute(self, code: str, *, silent: bool) -> str:
        """Ask the kernel to run code; returns the request's id."""
        return self._send(
            "execute_request",
            {
                "code": code,
                "silent": silent,
                "store_history": not silent,
                "user_expressions": {},
                "allow_stdin": False,
                # An error must not abort requests that follow it.
                "stop_on_error": False,
            },
        )

    def send_kernel_info(self) -> str:
        """Ask for a sign of life; returns the request's id."""
        return self._send("kernel_info_request", {})

    def receive(self) -> tuple[list[Message], bool]:
        """Take some messages that have come, and whether there may be more."""
        messages: list[Message] = []
        more = False
        for channel, socket in ((Channel.SHELL, self._shell), (Channel.IOPUB, self._iopub)):
            for _ in range(_BATCH):
                try:
                    frames = socket.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    break
                if (received := self._codec.decode(frames)) is not None:
                    messages.append(Message(channel, *received))
            else:
                more = True
        return messages, more

    def close(self) -> None:
        """Close both sockets at once; a second call does nothing."""
        self._shell.close(linger=0)
        self._iopub.close(linger=0)

    def _send(self, kind: str, content: dict[str, Any]) -> str:
        number, frames = self._codec.encode(kind, content)
        self._shell.send_multipart(frames)
        return number


def _connected(context: "zmq.Context[Any]", kind: int, address: str) -> "zmq.Socket[Any]":
    socket: zmq.Socket[Any] = context.socket(kind)
    try:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, _LONGEST_MESSAGE_BYTES)
        if kind == zmq.SUB:
            socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(address)
    except zmq.ZMQError:
        socket.close(linger=0)
        raise
    return socket
