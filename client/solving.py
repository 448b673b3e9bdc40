"""Solving one problem and showing it as it goes."""

import json
import sys
from collections.abc import Callable
from enum import Enum, auto
from typing import TextIO

from rich.console import Console

from client.errors import ConnectionLost
from client.escape import one_line
from client.http import AsyncQuorumClient
from client.live import live_display
from client.plain import plain_reporter
from client.schema import Event, SolveFinished, SolveRequest, SolveResult
from client.summary import summary


class Show(Enum):
    """How a solve is shown on standard output."""

    LIVE = auto()
    """A display that moves, then the answer."""
    PLAIN = auto()
    """A line for each event of interest."""
    JSON = auto()
    """The result as one line of JSON, nothing else."""
    ANSWER = auto()
    """The answer alone."""


def fitting_show(stream: TextIO) -> Show:
    """Return the live display in a terminal that can move its cursor, else plain lines."""
    console = Console(file=stream)
    return Show.LIVE if console.is_terminal and not console.is_dumb_terminal else Show.PLAIN


async def follow(
    client: AsyncQuorumClient, request: SolveRequest, observe: Callable[[Event], None]
) -> SolveResult:
    """Solve a problem; `observe` sees each event. Raises `QuorumClientError`."""
    async with client.stream(request) as events:
        async for event in events:
            observe(event)
            if isinstance(event, SolveFinished):
                return event.result
    raise ConnectionLost(f"the server at {client.url} ended the stream before the solve's end")


async def solve_and_show(
    client: AsyncQuorumClient, request: SolveRequest, show: Show
) -> SolveResult:
    """Solve one problem and show it on standard output."""
    match show:
        case Show.LIVE:
            console = Console(highlight=False)
            async with live_display(console) as display:
                result = await follow(client, request, display.observe)
            console.print(summary(result, console.width, console.encoding))
        case Show.PLAIN:
            result = await follow(client, request, plain_reporter(write_line))
            write_line(f"answer: {one_line(result.answer or '(none)')}")
        case Show.JSON:
            result = await follow(client, request, _ignore)
            write_line(result_json(result))
        case Show.ANSWER:
            result = await follow(client, request, _ignore)
            if result.answer is not None:
                write_line(one_line(result.answer))
    return result


def result_json(result: SolveResult) -> str:
    """Return a result as one line of ASCII JSON: nothing in it can act on a terminal."""
    # the one control character that JSON leaves as it is
    return json.dumps(result.model_dump(mode="json")).replace("\x7f", "\\u007f")


def _ignore(_event: Event) -> None:
    pass


def write_line(line: str) -> None:
    """Write a line to standard output, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
