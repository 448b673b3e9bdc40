"""SGLang and its router as packages that are started as processes: their versions and names.

Source of the router's range: sglang-router 0.3.2 was run against servers of this protocol; its
command line and its routes for workers are new since 0.3.
"""

import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import anyio
import orjson

from server.engine.errors import EngineFailed, EngineProtocolError, EngineUnavailable
from server.engine.sglang_child import REFUSED
from server.engine.sglang_http import BEFORE, OLDEST
from server.engine.supervisor import Child, ChildDied

CHILD = Path(__file__).with_name("sglang_child.py")
#: Between two looks at whether a server listens yet.
LOOK_INTERVAL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package that `sglang_child` can start: versions from `oldest` on and under `before`.

    `arguments_class` adds its arguments to a parser; `remedy` says what to do where it is missing,
    `setting` where arguments of the user's own come from.
    """

    name: str
    distribution: str
    launch: str
    arguments_class: str
    oldest: tuple[int, int, int]
    before: tuple[int, int, int]
    remedy: str
    setting: str

    def line(self, arguments: Sequence[str]) -> bytes:
        """Return the first line for the child's standard input."""
        return orjson.dumps({**asdict(self), "arguments": list(arguments)}) + b"\n"


SGLANG = Package(
    name="SGLang",
    distribution="sglang",
    launch="sglang.launch_server",
    arguments_class="sglang.srt.server_args.ServerArgs",
    oldest=OLDEST,
    before=BEFORE,
    remedy="install Quorum's extra `sglang`, or set engine.python to an interpreter that has it",
    setting="engine.arguments",
)
ROUTER = Package(
    name="sglang-router",
    distribution="sglang-router",
    launch="sglang_router.launch_router",
    arguments_class="sglang_router.router_args.RouterArgs",
    oldest=(0, 3, 2),
    before=(0, 4, 0),
    remedy="install sglang-router there, or set engine.router to none",
    setting="engine.router to none",
)


async def until_it_listens(child: Child, alive: Callable[[], Awaitable[None]]) -> None:
    """Return once the child's server answers, as `alive` tells; the caller bounds the wait.

    Raises:
        EngineFailed: the child refused its version or its arguments.
        ChildDied: it ended otherwise.
    """
    while True:
        with anyio.move_on_after(LOOK_INTERVAL_S):
            await child.process.wait()
            await _tell_death(child)
        try:
            await alive()
        except EngineUnavailable:
            continue
        except EngineProtocolError:
            pass  # an answer, if none to be proud of: a generation decides whether it works
        return


async def _tell_death(child: Child) -> None:
    """Raise what the child's end was."""
    with anyio.CancelScope(shield=True):
        death = await child.death()
    if child.process.returncode == REFUSED and child.tail:
        raise EngineFailed(child.tail[-1])
    raise ChildDied(death)


def free_port() -> int:
    """Return a port that is free now; should another take it first, the next start has another."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
