"""Makes the rules of access from the settings, and refuses to open a server to others without."""

from pathlib import Path

from platformdirs import user_state_path

from server.access.errors import NoKeys
from server.access.gate import Access
from server.access.rates import Rates
from server.access.session import Sessions
from server.access.store import KeyFile, KeyRing
from server.sections.access import host_names, is_loopback
from server.settings import Settings

HOUR_S = 3_600.0


def key_file(settings: Settings) -> KeyFile:
    """Return the file of keys."""
    named = settings.access.keys
    if named == "auto":
        return KeyFile(user_state_path("quorum") / "keys.json")
    return KeyFile(Path(named).expanduser())


def open_access(settings: Settings) -> Access:
    """Return the rules of access.

    Raises:
        NoKeys: a key is demanded, and there is none.
        KeysUnusable: the file of keys cannot be read.
    """
    host, access = settings.gateway.host, settings.access
    local = is_loopback(host)
    demanded = access.require == "always" or not local
    ring = KeyRing(key_file(settings))
    if demanded and not ring.load():
        raise NoKeys(
            f"gateway.host {host}: a server that demands keys must have one, and "
            f"{ring.file.path} has none; make one with `quorum keys add NAME`"
        )
    # A name that somebody else makes resolve to this machine (DNS rebinding) must not open a server
    # that demands no key; with keys, what a foreign page lacks is the key.
    names = frozenset({"localhost", host.lower(), *host_names(access.hosts)})
    return Access(
        demanded=demanded,
        ring=ring,
        sessions=Sessions(ring, access.session_hours * HOUR_S),
        rates=Rates(access.requests_per_minute, access.burst),
        names=frozenset() if demanded else names,
        max_header_bytes=access.max_header_bytes,
    )
