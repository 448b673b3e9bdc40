"""The server that a command works with: one that runs, else one started for the command."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self, TextIO

import anyio
from rich.console import Console
from rich.text import Text

from client.address import local_url
from client.errors import QuorumClientError, TransportError
from client.escape import one_line
from client.exchange import NO_RETRY, RetryPolicy
from client.http import AsyncQuorumClient
from client.local_server import local_server
from client.readiness import READY_TIMEOUT_S, wait_ready

#: Seconds that a server on this machine has to say that it is Quorum.
PROBE_TIMEOUT_S = 2.0
#: Seconds between two lines about waiting, where there is no terminal to redraw.
NOTICE_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """Which server to work with.

    `url` None means: the server where the settings of this machine say that it listens, if one runs
    there and none of its settings are given (`arguments`), else a new one. `command` replaces
    `quorum serve`.
    """

    url: str | None = None
    arguments: Sequence[str] = ()
    ready_timeout_s: float = READY_TIMEOUT_S
    command: Sequence[str] | None = None
    retry: RetryPolicy | None = None


@asynccontextmanager
async def session(
    choice: ServerChoice, notify: Callable[[str], None], impatient: anyio.Event | None = None
) -> AsyncIterator[AsyncQuorumClient]:
    """Open a client to a server that is ready; stop the server afterwards if it was started here.

    `notify` hears what is being waited for. Raises `QuorumClientError`.
    """
    url = choice.url
    if url is None and not choice.arguments:
        url = await _found()
    opened = _own(choice, notify, impatient) if url is None else _running(url, choice, notify)
    async with opened as client:
        yield client


async def _found() -> str | None:
    """Return the URL of the server that runs where this machine's settings say, if one does."""
    url = local_url()
    return url if url is not None and await is_quorum(url) else None


async def is_quorum(url: str) -> bool:
    """Whether a Quorum server answers there."""
    with anyio.move_on_after(PROBE_TIMEOUT_S):
        async with AsyncQuorumClient(url, retry=NO_RETRY) as client:
            try:
                await client.health()
            except QuorumClientError:
                return False
            return True
    return False


@asynccontextmanager
async def _running(
    url: str, choice: ServerChoice, notify: Callable[[str], None]
) -> AsyncIterator[AsyncQuorumClient]:
    async with AsyncQuorumClient(url, retry=choice.retry) as client:
        await client.health()
        await wait_ready(client, notify, choice.ready_timeout_s)
        yield client


@asynccontextmanager
async def _own(
    choice: ServerChoice, notify: Callable[[str], None], impatient: anyio.Event | None
) -> AsyncIterator[AsyncQuorumClient]:
    notify("starting a server")
    async with (
        local_server(choice.arguments, choice.command, impatient) as server,
        AsyncQuorumClient(server.url, retry=choice.retry) as client,
    ):

        def observe(waiting: str) -> None:
            server.check()
            notify(waiting)

        try:
            await wait_ready(client, observe, choice.ready_timeout_s)
            yield client
        except TransportError as error:
            raise await server.explain(error) from error


class WaitingNotice:
    """Shows what is being waited for: a spinner in a terminal, else a line now and then."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False)
        self._status = self._console.status("") if self._console.is_terminal else None
        self._shown_at: float | None = None
        self._shown = ""

    def show(self, waiting: str) -> None:
        """Show it; the same again changes nothing."""
        text = f"waiting: {one_line(waiting)}"
        if self._status is not None:
            self._status.update(Text(text, no_wrap=True, overflow="ellipsis"))
            self._status.start()
            return
        due = self._shown_at is None or time.monotonic() - self._shown_at >= NOTICE_EVERY_S
        if due and text != self._shown:
            self._console.print(Text(text), soft_wrap=True)
            self._shown_at, self._shown = time.monotonic(), text

    def clear(self) -> None:
        """Take the spinner away, until there is something to wait for again."""
        if self._status is not None:
            self._status.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.clear()
