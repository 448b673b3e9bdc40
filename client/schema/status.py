"""How the server and its parts are."""

from typing import Literal

from pydantic import Field

from client.schema.base import WireModel

#: A part in this state will not get ready by itself: waiting for it is of no use.
PART_FAILED = "failed"


class PartStatus(WireModel):
    """Whether one part of the server can work, and why not."""

    ready: bool
    state: str
    detail: str = ""


class Readiness(WireModel):
    """Answer of `GET /ready` (200 when ready, 503 when not)."""

    ready: bool
    engine: PartStatus
    sandbox: PartStatus
    journal: PartStatus | None = Field(
        default=None, description="State of the journal; a server without one is ready too."
    )
    engines: dict[str, PartStatus] = Field(
        default={},
        description="State of further engines by name; a server is ready without them: recipes"
        " wait for them, and go on without.",
    )
    model: str = ""
    running: int = 0
    queued: int = 0


class Health(WireModel):
    """Answer of `GET /health`: the process lives and its event loop turns."""

    status: Literal["ok"] = "ok"
    version: str
    uptime_s: float
