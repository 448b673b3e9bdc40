"""What the supervisor says of the server, on its output and in `server.json`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

FILE = "server.json"


class ServerPhase(StrEnum):
    """How far the server is."""

    INSTALLING = "installing"
    STARTING = "starting"
    SERVING = "serving"
    """It listens at `url`; whether it is ready, it says itself."""
    WAITING = "waiting"
    """It ended, and is started again after a pause."""
    FAILED = "failed"
    """It has ended soon after its start again and again; it is still started again."""
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ServerState:
    """The server at one moment; ``starts`` counts those so far."""

    phase: ServerPhase
    url: str = ""
    pid: int = 0
    detail: str = ""
    starts: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return asdict(self)


def parse_state(value: Mapping[str, Any] | None) -> ServerState | None:
    """Return the state that a JSON object says; None where it says none."""
    if value is None:
        return None
    try:
        return ServerState(
            ServerPhase(value["phase"]),
            str(value["url"]),
            int(value["pid"]),
            str(value["detail"]),
            int(value["starts"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
