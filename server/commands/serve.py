"""`quorum serve`: the gateway in this process, until a signal or its parent's end."""

import asyncio
import errno
import inspect
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any

import orjson
import structlog
import typer
import uvicorn
from starlette.types import Message, Receive, Scope, Send

from server.api.app import create_app
from server.api.connection import PromptProtocol
from server.errors import QuorumServerError
from server.heap import settle
from server.logs import configure
from server.parts import Parts, open_parts
from server.sections.gateway import GatewaySettings
from server.settings import Setting, Settings, declared, load_settings

log = structlog.get_logger(__name__)

#: Seconds: a connection that says nothing is asked after this long, and again; one whose peer
#: acknowledges nothing is given up. Streams send at least every 15 s.
SILENCE_S = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_USER_TIMEOUT": 60}
#: Seconds for which an idle connection is kept. More than clients and proxies keep theirs (httpx 5,
#: nginx 60, Go 90): whoever closes first must be the one that sends, or a request crosses the end.
KEEP_ALIVE_S = 100
#: Connections that wait for acceptance.
BACKLOG = 512


class ListenError(QuorumServerError):
    """The address cannot be listened on."""


class Gateway(uvicorn.Server):
    """uvicorn, with a line that says when it listens and an end that cancels what runs."""

    def __init__(self, settings: Settings, listener: socket.socket, ready_fd: int | None) -> None:
        self._listener = listener
        self._ready_fd = ready_fd
        self._parts: Parts | None = None
        self.failure: Exception | None = None
        self._app = create_app(settings, self._open_parts)
        super().__init__(
            uvicorn.Config(
                self._without_traceback,
                interface="asgi3",
                http=PromptProtocol,
                ws="none",
                log_config=None,
                lifespan="on",
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=max(1, round(settings.gateway.shutdown_s)),
            )
        )

    @asynccontextmanager
    async def _open_parts(self, settings: Settings) -> AsyncIterator[Parts]:
        """Open the parts, and keep an error that a person must read."""
        try:
            async with open_parts(settings) as parts:
                self._parts = parts
                yield parts
        except Exception as error:
            if getattr(error, "is_user_error", False):
                self.failure = error
            raise

    async def _without_traceback(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; a failed start is told by the command, in one sentence."""

        async def tell(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed" and self.failure is not None:
                message = {**message, "message": ""}
            await send(message)

        await self._app(scope, receive, tell if scope["type"] == "lifespan" else send)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End in order for a closed terminal too, unless that was ignored, as `nohup` does."""
        with super().capture_signals():
            before = signal.getsignal(signal.SIGHUP)
            is_main = threading.current_thread() is threading.main_thread()
            if before is signal.SIG_IGN or not is_main:
                yield
                return
            signal.signal(signal.SIGHUP, self.handle_exit)
            try:
                yield
            finally:
                # uvicorn raises the signal again once its own handlers are gone.
                signal.signal(signal.SIGHUP, before)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so on the descriptor that the parent gave."""
        await super().startup(sockets)
        if not self.started:
            return
        settle()
        host, port = self._listener.getsockname()[:2]
        log.info("gateway.listening", url=url_of(host, port))
        if self._ready_fd is not None:
            line = orjson.dumps({"url": url_of(host, port), "pid": os.getpid()}) + b"\n"
            try:
                os.write(self._ready_fd, line)
            except BrokenPipeError:
                # Whoever wanted to know is gone.
                self.should_exit = True
            os.close(self._ready_fd)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the solves first: their callers get a result instead of a cut connection."""
        log.info("gateway.stopping")
        if self._parts is not None:
            self._parts.close()
        await super().shutdown(sockets)


def serve(**values: Any) -> None:  # noqa: ANN401 - the signature is built from the settings
    """Run the gateway until Ctrl-C, SIGTERM or its terminal's end."""
    ready_fd, parent_fd = values.pop("ready_fd"), values.pop("parent_fd")
    no_engine = values.pop("no_engine")
    flags = {
        setting.dotted: values[f"{setting.section}_{setting.name}"]
        for setting in declared()
        if values[f"{setting.section}_{setting.name}"] is not None
    }
    settings = load_settings(flags | ({"engine.kind": "none"} if no_engine else {}))
    configure(settings.log)
    with listen(settings.gateway) as listener:
        gateway = Gateway(settings, listener, ready_fd)
        try:
            asyncio.run(_serve(gateway, listener, parent_fd))
        except SystemExit:
            # uvicorn exits so when the lifespan fails, with 3: here that is a solve without answer.
            if gateway.failure is None:
                raise SystemExit(1) from None
        if gateway.failure is not None:
            raise gateway.failure


async def _serve(gateway: Gateway, listener: socket.socket, parent_fd: int | None) -> None:
    if parent_fd is not None:

        def stop() -> None:
            gateway.should_exit = True
            asyncio.get_running_loop().remove_reader(parent_fd)

        # Nothing is ever written to it: readable means that the parent is gone.
        asyncio.get_running_loop().add_reader(parent_fd, stop)
    await gateway.serve(sockets=[listener])


def _notice_silent_peers(listener: socket.socket) -> None:
    """Have connections cut whose peer is gone without a word: the network, or the machine, died.

    Accepted connections inherit this. Without it the kernel sends for a quarter of an hour, for
    which a stream's solve would go on for nobody.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, seconds in SILENCE_S.items():
        if hasattr(socket, name):  # Linux
            unit = 1_000 if name == "TCP_USER_TIMEOUT" else 1
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds * unit)


def listen(settings: GatewaySettings) -> socket.socket:
    """Return a listening socket.

    Raises:
        ListenError: the address is taken, not ours, not allowed or none.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio turns off Nagle's algorithm, which would hold each second write for 40 ms, only where
    # it is told that the socket is TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _notice_silent_peers(listener)
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)
    # A name of a wrong form, as a..b, is a ValueError.
    except (OSError, ValueError) as error:
        listener.close()
        raise ListenError(
            f"gateway address {settings.host}:{settings.port}: cannot be listened on "
            f"({getattr(error, 'strerror', None) or error}); {_remedy(error)}"
        ) from None
    return listener


def _remedy(error: OSError | ValueError) -> str:
    foreign = isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL
    if foreign or isinstance(error, socket.gaierror | ValueError):
        return "set QUORUM_GATEWAY_HOST to an address of this machine, such as 127.0.0.1"
    return "stop what uses it, or set QUORUM_GATEWAY_PORT (0 takes a free port)"


def url_of(host: str, port: int) -> str:
    """Return the URL of a listening address."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _with_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give the command a flag for every setting, so that none is declared twice."""
    hidden = {"ready_fd": "descriptor told when listening", "parent_fd": "pipe from the parent"}
    annotations: dict[str, Any] = {
        name: Annotated[int | None, typer.Option(hidden=True, help=text)]
        for name, text in hidden.items()
    }
    text = "serve the sandbox alone, over HTTP: the same as --engine-kind none"
    annotations["no_engine"] = Annotated[bool | None, typer.Option("--no-engine", help=text)]
    for setting in declared():
        annotations[f"{setting.section}_{setting.name}"] = _flag(setting)
    command.__annotations__ = {**annotations, "return": None}
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
            )
            for name, annotation in annotations.items()
        ]
    )
    return command


def _flag(setting: Setting) -> Any:  # noqa: ANN401 - an annotation for typer
    """Return the annotation of a setting's flag; one that is true or false takes no value."""
    text = f"{setting.field.description} [{setting.field.default}]"
    if setting.field.annotation is bool:
        names = f"{setting.flag}/--no-{setting.flag.removeprefix('--')}"
        return Annotated[
            bool | None, typer.Option(names, help=text, rich_help_panel=setting.section)
        ]
    option = typer.Option(setting.flag, help=text, metavar="VALUE", rich_help_panel=setting.section)
    return Annotated[str | None, option]


serve = _with_flags(serve)
