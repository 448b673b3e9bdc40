"""Settings of the HTTP server."""

from pydantic import Field

from server.sections.section import Section


class GatewaySettings(Section):
    """The HTTP server and what it admits."""

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(8642, ge=0, le=65535, description="TCP port; 0 takes a free one")
    max_running: int = Field(1, ge=1, le=256, description="solves that run at once")
    max_queued: int = Field(16, ge=0, le=10_000, description="solves that may wait; more get 429")
    max_body_bytes: int = Field(
        1024 * 1024,
        ge=1024,
        description="bytes; largest request body: 1 MiB holds about 140,000 token ids",
    )
    shutdown_s: float = Field(10.0, gt=0, le=300, description="seconds granted to a clean shutdown")
