"""Settings of who may use the server."""

import ipaddress

from pydantic import Field, field_validator

from server.sections.section import Section


class AccessSettings(Section):
    """Who may use the server over HTTP."""

    keys: str = Field(
        "auto",
        description="file of keys (`quorum keys`); auto is keys.json in the user's state folder",
    )
    require: str = Field(
        "auto",
        pattern="^(auto|always)$",
        description="when a key is demanded: auto is wherever gateway.host is not loopback; always",
    )
    hosts: str = Field(
        "none",
        description="further names by which the server is called, as a proxy may, with commas",
    )
    requests_per_minute: int = Field(
        1200, ge=0, le=1_000_000, description="requests of one key, on average; 0 is no bound"
    )
    burst: int = Field(
        200, ge=1, le=100_000, description="requests of one key at once, after a quiet minute"
    )
    max_header_bytes: int = Field(
        32 * 1024, ge=1024, le=64 * 1024, description="bytes; largest headers of a request"
    )
    session_hours: float = Field(
        12.0, gt=0, le=24 * 365, description="hours that a browser stays logged in"
    )

    @field_validator("hosts")
    @classmethod
    def _are_names(cls, hosts: str) -> str:
        for host in host_names(hosts):
            if not host or any(character in host for character in "/@ \t"):
                raise ValueError(f"{host!r} must be a host's name without scheme, port or path")
        return hosts


def host_names(hosts: str) -> tuple[str, ...]:
    """Return the names of `access.hosts`, in lower case."""
    if hosts == "none":
        return ()
    return tuple(host.strip().lower() for host in hosts.split(","))


def is_loopback(host: str) -> bool:
    """Whether an address or name can be reached from this machine alone."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
