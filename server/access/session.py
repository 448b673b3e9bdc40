"""Sessions of browsers: a cookie in the place of a key, which an EventSource cannot send.

Whoever logs in with a key gets a random name in a cookie that scripts cannot read and that other
sites' pages do not send along. The server keeps a hash of it, in memory: a restart logs everybody
out, and so does the key's revocation.
"""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from server.access.keys import Key
from server.access.store import KeyRing

#: With the port in the address behind it.
COOKIE = "quorum_session"
TOKEN_BYTES = 32
#: Sessions at once; the oldest is ended for a new one.
MOST_SESSIONS = 1_000


@dataclass(frozen=True, slots=True)
class Session:
    """Who logged in, and until when (of `time.monotonic`)."""

    key_id: str
    ends: float


class Sessions:
    """All sessions of a server, each for `lasts_s` seconds."""

    def __init__(self, ring: KeyRing, lasts_s: float) -> None:
        self._ring = ring
        self._lasts_s = lasts_s
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def begin(self, key: Key) -> str:
        """Begin a session; return what the cookie holds."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._sessions[_hash(token)] = Session(key.id, time.monotonic() + self._lasts_s)
        if len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return token

    def find(self, token: str) -> Key | None:
        """Return the key of a session; None where it has ended, or its key was revoked."""
        name = _hash(token)
        session = self._sessions.get(name)
        if session is None:
            return None
        key = self._ring.get(session.key_id)
        if key is None or time.monotonic() >= session.ends:
            self._sessions.pop(name, None)
            return None
        return key

    def end(self, token: str) -> None:
        """End a session, if it is one."""
        self._sessions.pop(_hash(token), None)

    def cookie(self, token: str, host: str, *, secure: bool) -> str:
        """Return the header that sets the cookie for a `Host`; an empty token takes it away."""
        age = int(self._lasts_s) if token else 0
        said = f"{_name(host)}={token}"
        parts = [said, "Path=/", "HttpOnly", "SameSite=Strict", f"Max-Age={age}"]
        return "; ".join([*parts, "Secure"] if secure else parts)


def cookie_of(headers: Mapping[str, str]) -> str:
    """Return the token in a request's cookies; empty where there is none.

    Cookies are shared by all ports of a host: others' may hold what RFC 6265 does not allow, as
    JSON, which browsers send all the same. They must not hide ours, as `http.cookies` lets them.
    """
    ours = _name(headers.get("host", ""))
    for pair in headers.get("cookie", "").split(";"):
        name, _, value = pair.partition("=")
        if name.strip() == ours:
            return value.strip().strip('"')
    return ""


def _name(host: str) -> str:
    """Return the cookie's name: two gateways on a host must not log each other's users out."""
    port = host.rpartition(":")[2]
    return f"{COOKIE}_{port}" if port.isascii() and port.isdigit() else COOKIE


def _hash(token: str) -> str:
    return hashlib.blake2b(token.encode("utf-8", "replace")).hexdigest()
