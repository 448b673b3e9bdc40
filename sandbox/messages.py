"""Jupyter's wire format, version 5: what the pool needs of it, to send and to receive.

A message is `[routing ids…, delimiter, signature, header, parent header, metadata, content]`, the
last four JSON, the signature their HMAC-SHA256 in hexadecimal (jupyter_client.readthedocs.io,
"Messaging in Jupyter"). jupyter_client's own Session parses dates besides, which takes longer than
everything else.
"""

import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from typing import Any, NamedTuple

_DELIMITER = b"<IDS|MSG>"
_PROTOCOL = "5.3"

#: Header, parent header, metadata, content.
_PARTS = 4


class Received(NamedTuple):
    """A message of the right key; its content is whatever the kernel's process chose to send."""

    kind: str
    #: Id of the request it belongs to.
    parent: str
    content: Mapping[str, Any]


class Codec:
    """Writes the messages of one connection, and reads those of at most `longest` bytes."""

    def __init__(self, key: bytes, longest: int) -> None:
        self._key = key
        self._longest = longest
        self._session = secrets.token_hex(16)
        self._numbers = count(1)

    def encode(self, kind: str, content: Mapping[str, Any]) -> tuple[str, list[bytes]]:
        """A new request: its id and its frames."""
        number = f"{self._session}_{next(self._numbers)}"
        header = {
            "msg_id": number,
            "msg_type": kind,
            "session": self._session,
            "username": "quorum",
            "date": datetime.now(UTC).isoformat(),
            "version": _PROTOCOL,
        }
        parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
        return number, [_DELIMITER, self._signature(parts), *parts]

    def decode(self, frames: Sequence[bytes]) -> Received | None:
        """A message that is signed with our key, well-formed and not too long, else None."""
        if sum(map(len, frames)) > self._longest:
            return None
        try:
            start = frames.index(_DELIMITER) + 1
            signature, parts = frames[start], frames[start + 1 : start + 1 + _PARTS]
            if not hmac.compare_digest(signature, self._signature(parts)):
                return None
            header, parent, _, content = (json.loads(part) for part in parts)
            received = Received(header["msg_type"], parent.get("msg_id"), content)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            # Untrusted bytes: no delimiter, too few frames, no JSON, JSON of another shape.
            return None
        kinds = (str, str, dict)
        return received if all(map(isinstance, received, kinds)) else None

    def _signature(self, parts: Sequence[bytes]) -> bytes:
        return hmac.digest(self._key, b"".join(parts), sha256).hex().encode()
