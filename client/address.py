"""Where a server of this machine listens, by the settings that it and this command share.

The server declares and checks them (`gateway.host` and `gateway.port`, docs/reference/settings.md);
here they are only read, for which the client needs no package of the server's.
"""

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: As the server finds it: the file that this variable names, else this one in the working folder.
CONFIG_VARIABLE = "QUORUM_CONFIG"
CONFIG_FILE = "quorum.toml"
HOST_VARIABLE = "QUORUM_GATEWAY_HOST"
PORT_VARIABLE = "QUORUM_GATEWAY_PORT"
_HOST_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_DEFAULT_HOST = "127.0.0.1"
_DEFAULT_PORT = 8642


def local_url(environment: Mapping[str, str] | None = None) -> str | None:
    """Return the URL at which a server with this folder's and environment's settings listens.

    None where it takes a free port. Settings that the server would refuse count as not given: it
    says so itself, in its own words, when it is started.
    """
    variables = {name.upper(): value for name, value in (environment or os.environ).items()}
    gateway = _gateway(Path(variables.get(CONFIG_VARIABLE) or CONFIG_FILE))
    port = _port(variables.get(PORT_VARIABLE, gateway.get("port")))
    host = variables.get(HOST_VARIABLE, gateway.get("host"))
    if port == 0:
        return None
    reached = _reached(host) if isinstance(host, str) else _DEFAULT_HOST
    return f"http://{reached}:{port}"


def _gateway(path: Path) -> Mapping[str, Any]:
    try:
        section = tomllib.loads(path.read_text(encoding="utf-8-sig")).get("gateway", {})
    except (OSError, UnicodeDecodeError, ValueError):
        return {}
    return section if isinstance(section, dict) else {}


def _port(given: object) -> int:
    try:
        port = int(given) if isinstance(given, str | int) else _DEFAULT_PORT
    except ValueError:
        return _DEFAULT_PORT
    return port if 0 <= port <= 65_535 else _DEFAULT_PORT


def _reached(host: str) -> str:
    """Return how an address to listen on is reached from this machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host if _HOST_NAME.fullmatch(host) else _DEFAULT_HOST
    if address.is_unspecified:
        return _DEFAULT_HOST if address.version == 4 else "[::1]"
    return host if address.version == 4 else f"[{host}]"
