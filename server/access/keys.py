"""Keys: made at random, shown once, kept as hashes.

A key reads `quorum_ID_SECRET`. The secret has 256 bits from the system's generator, so that a fast
hash is as good as a slow one: there is nothing to guess. BLAKE2b is keyed with a salt of each key's
own, and compared in constant time.
"""

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass

from server.access.errors import MalformedKey
from server.access.scopes import Scope

PREFIX = "quorum"
SECRET_BYTES = 32
SALT_BYTES = 16
ID_BYTES = 4
#: Longest text that is looked at as a key.
MOST_CHARACTERS = 200
MAX_NAME = 100

_KEY = re.compile(r"quorum_(?P<id>[0-9a-f]{8})_(?P<secret>[A-Za-z0-9_-]{20,100})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What is kept of a key; times in seconds since 1970, `expires` None: never."""

    id: str
    name: str
    scopes: frozenset[Scope]
    created: float
    expires: float | None
    salt: str
    digest: str

    def expired(self, now: float | None = None) -> bool:
        """Whether its time is over."""
        return self.expires is not None and (time.time() if now is None else now) >= self.expires

    def fits(self, secret: str) -> bool:
        """Whether a secret is this key's; takes the same time whatever is wrong with it."""
        return hmac.compare_digest(_digest(secret, self.salt), self.digest)


#: Compared with where there is no key of an id, so that this takes as long.
NOBODY = Key(
    id="", name="", scopes=frozenset(), created=0.0, expires=0.0, salt="00" * SALT_BYTES,
    digest="00" * SECRET_BYTES,
)  # fmt: skip


def make_key(name: str, scopes: frozenset[Scope], lasts_s: float | None = None) -> tuple[Key, str]:
    """Return a new key and its text, which is kept nowhere.

    Raises:
        MalformedKey: the name is none, or there is no scope.
    """
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise MalformedKey(
            f"name {name[:MAX_NAME]!r}: must be one line of 1 to {MAX_NAME} characters; say whose "
            "key it is"
        )
    if not scopes:
        raise MalformedKey("a key without a scope: must have at least one; give --scope solve")
    now = time.time()
    key_id, secret = secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES)
    salt = secrets.token_hex(SALT_BYTES)
    key = Key(
        id=key_id,
        name=name,
        scopes=scopes,
        created=now,
        expires=None if lasts_s is None else now + lasts_s,
        salt=salt,
        digest=_digest(secret, salt),
    )
    return key, f"{PREFIX}_{key_id}_{secret}"


def split_key(text: str) -> tuple[str, str] | None:
    """Return the id and the secret of a key's text; None where it is no key."""
    match = _KEY.fullmatch(text) if len(text) <= MOST_CHARACTERS else None
    return None if match is None else (match["id"], match["secret"])


def _digest(secret: str, salt: str) -> str:
    hashed = hashlib.blake2b(secret.encode(), key=bytes.fromhex(salt), digest_size=SECRET_BYTES)
    return hashed.hexdigest()
