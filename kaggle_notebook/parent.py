"""The notebook, as the server's supervisor knows it. Standard library alone.

A notebook that ends says so. One that was killed is waited for: should it be started again in the
same folder soon, with the same server in mind, it takes over the server that runs, with its engine,
instead of loading a model for minutes. They meet on a socket that has no file and takes callers of
the same user only.
"""

import hashlib
import json
import os
import select
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: What an orderly end says; a pipe that closes without was its writer's death.
END = b"e"
#: Seconds in which somebody who calls must say what he wants.
GREETING_S = 2.0
_LINE_BYTES = 4096
_CREDENTIALS = "3i"


def address_of(folder: Path) -> str:
    """Return the name of the socket on which a folder's supervisor waits: abstract, of Linux."""
    name = f"{os.getuid()}:{folder.absolute()}"
    return f"\0quorum-supervisor-{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def digest_of(configuration: Mapping[str, Any]) -> str:
    """Return what tells one server from another: how it is started, not how it was installed."""
    kept = {name: configuration.get(name) for name in ("command", "arguments")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


@dataclass(slots=True)
class Parent:
    """Whoever holds the other end of ``descriptor``; ``output`` is where lines for it go.

    ``ended`` once it has said so, or was killed and nobody came for ``linger_s``. ``taken_over``
    counts those who came.
    """

    descriptor: int
    output: int
    address: str = ""
    digest: str = ""
    linger_s: float = 0.0
    ended: bool = False
    taken_over: int = 0
    _listener: socket.socket | None = None
    _until: float = 0.0

    def wait(self, seconds: float, *others: int) -> list[int]:
        """Wait until another descriptor can be read, for `seconds` at most; return those."""
        own = self.descriptor if self._listener is None else self._listener.fileno()
        if self._listener is not None:
            seconds = min(seconds, max(0.0, self._until - time.monotonic()))
        try:
            readable = select.select([own, *others], [], [], max(0.0, seconds))[0]
        except InterruptedError:
            return []
        if own in readable:
            if self._listener is None:
                self._hear()
            else:
                self._meet(self._listener)
        if self._listener is not None and time.monotonic() >= self._until:
            self.ended = True
        return [each for each in others if each in readable]

    def say(self, line: str) -> None:
        """Write a line to it, if it is there."""
        with suppress(OSError):
            os.write(self.output, line.encode() + b"\n")

    def _hear(self) -> None:
        with suppress(OSError):
            if os.read(self.descriptor, 1):
                self.ended = True
                return
        os.close(self.descriptor)
        if self.output != self.descriptor:
            # its number stays taken: nothing else may be written to by mistake
            with suppress(OSError), Path(os.devnull).open("wb") as nothing:
                os.dup2(nothing.fileno(), self.output)
        self.descriptor = self.output = -1
        self.ended = self.linger_s <= 0 or not self._listen()

    def _listen(self) -> bool:
        """Wait for a successor from now on; False where that cannot be."""
        if not self.address:
            return False
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(self.address)
            listener.listen(4)
        except OSError:
            listener.close()
            return False
        self._listener, self._until = listener, time.monotonic() + self.linger_s
        return True

    def _meet(self, listener: socket.socket) -> None:
        """Hear what a caller wants: to take over, or that this one ends."""
        try:
            caller, _ = listener.accept()
        except OSError:
            return
        wanted = _greeting(caller)
        if wanted.get("digest") != self.digest:
            # of another server, or of nobody who may ask: only the first is a reason to end
            self.ended = "digest" in wanted
            caller.close()
            return
        try:
            caller.sendall(b'{"taken_over": true}\n')
        except OSError:
            caller.close()
            return
        self.linger_s = float(wanted.get("linger_s") or 0.0)
        self.descriptor = self.output = caller.detach()
        self.taken_over += 1
        listener.close()
        self._listener = None


def _greeting(caller: socket.socket) -> dict[str, Any]:
    """Return what a caller of the same user says in its first line; nothing of anybody else."""
    if peer_of(caller)[1] != os.getuid():
        return {}
    caller.settimeout(GREETING_S)
    line = b""
    try:
        while not line.endswith(b"\n") and len(line) < _LINE_BYTES:
            part = caller.recv(_LINE_BYTES)
            if not part:
                return {}
            line += part
        caller.settimeout(None)
        value = json.loads(line)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """Return process id and user id of the other end, as the system knows them."""
    size = struct.calcsize(_CREDENTIALS)
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    pid, uid, _ = struct.unpack(_CREDENTIALS, data)
    return pid, uid


def call(folder: Path, wanted: Mapping[str, Any]) -> socket.socket | None:
    """Ask a supervisor that waits for a successor; its end of the line if it agrees.

    None where none waits, which is known at once, or where it wants another one.
    """
    caller = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    caller.settimeout(GREETING_S)
    try:
        caller.connect(address_of(folder))
        if peer_of(caller)[1] != os.getuid():
            raise PermissionError
        caller.sendall(json.dumps(dict(wanted)).encode() + b"\n")
        reply = b""
        while not reply.endswith(b"\n"):
            # a byte at a time: what follows the line is the supervisor's own
            part = caller.recv(1)
            if not part:
                raise ConnectionAbortedError
            reply += part
        caller.settimeout(None)
    except (OSError, AttributeError):
        caller.close()
        return None
    return caller
