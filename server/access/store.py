"""The file of keys: written by `quorum keys`, read again by the server whenever it changes."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import structlog

from server.access.errors import KeysUnusable, UnknownKey
from server.access.keys import NOBODY, Key, split_key
from server.access.scopes import Scope
from server.regular import regular

log = structlog.get_logger(__name__)

VERSION = 1
#: How often the server looks whether the file has changed: a revoked key works no longer than this.
LOOK_EVERY_S = 1.0


@dataclass(slots=True)
class KeyFile:
    """The keys at a path; a file that is missing has none."""

    path: Path

    def read(self) -> dict[str, Key]:
        """Return the keys by id.

        Raises:
            KeysUnusable: the file cannot be read, or is not one of keys.
        """
        try:
            data = regular(self.path).read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise KeysUnusable(
                f"keys {self.path}: cannot be read ({error.strerror}); make the file readable, or "
                "set QUORUM_ACCESS_KEYS"
            ) from error
        try:
            document = orjson.loads(data)
            if document["version"] != VERSION:
                raise ValueError(f"version {document['version']}")
            return {key.id: key for key in map(_key, document["keys"])}
        except (KeyError, TypeError, ValueError) as error:
            raise KeysUnusable(
                f"keys {self.path}: not a file of keys of this version ({error}); correct it, or "
                "move it away and make new keys with `quorum keys add`"
            ) from error

    def add(self, key: Key) -> None:
        """Add a key.

        Raises:
            KeysUnusable: the file cannot be read or written.
        """
        with self._changing() as keys:
            keys[key.id] = key

    def revoke(self, name: str) -> list[Key]:
        """Remove the key of an id, or all of a name; return them.

        Raises:
            UnknownKey: there is none.
            KeysUnusable: the file cannot be read or written.
        """
        with self._changing() as keys:
            found = [key for key in keys.values() if name in (key.id, key.name)]
            if not found:
                raise UnknownKey(f"key {name!r}: there is none; `quorum keys ls` shows them")
            for key in found:
                del keys[key.id]
        return found

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Key]]:
        """Read the keys, and write them at the end; two that do so take turns."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                keys = self.read()
                yield keys
                self._write(keys)
            finally:
                os.close(lock)
        except OSError as error:
            raise KeysUnusable(
                f"keys {self.path}: cannot be written ({error.strerror}); make the folder "
                "writable, or set QUORUM_ACCESS_KEYS"
            ) from error

    def _write(self, keys: dict[str, Key]) -> None:
        document = {"version": VERSION, "keys": [_row(key) for key in keys.values()]}
        partial = Path(f"{self.path}.new")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)


@dataclass(slots=True)
class KeyRing:
    """The keys that a running server accepts; follows the file.

    A file that becomes unreadable takes no key away that was there, and adds none.
    """

    file: KeyFile
    _keys: dict[str, Key] = field(default_factory=dict)
    _stamp: tuple[int, int, int] | None = None
    _looked: float = float("-inf")

    def find(self, text: str) -> Key | None:
        """Return the key that a text is; None where it is none, or not one any more."""
        self._look()
        parts = split_key(text)
        key_id, secret = parts or ("", "")
        key = self._keys.get(key_id, NOBODY)
        return key if key.fits(secret) and key is not NOBODY and not key.expired() else None

    def get(self, key_id: str) -> Key | None:
        """Return a key that is still accepted, by its id."""
        self._look()
        key = self._keys.get(key_id)
        return None if key is None or key.expired() else key

    def load(self) -> int:
        """Read the file now; return how many keys are accepted.

        Raises:
            KeysUnusable: it cannot be read.
        """
        self._stamp = _stamp(self.file.path)
        self._keys = self.file.read()
        self._looked = time.monotonic()
        return sum(not key.expired() for key in self._keys.values())

    def _look(self) -> None:
        if time.monotonic() - self._looked < LOOK_EVERY_S:
            return
        self._looked = time.monotonic()
        if _stamp(self.file.path) == self._stamp:
            return
        try:
            log.info("keys.read", accepted=self.load())
        except KeysUnusable as error:
            log.warning("keys.not_read", reason=str(error))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _row(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created": key.created,
        "expires": key.expires,
        "salt": key.salt,
        "digest": key.digest,
    }


def _key(row: dict[str, Any]) -> Key:
    expires = row["expires"]
    bytes.fromhex(row["salt"] + row["digest"])
    return Key(
        id=str(row["id"]),
        name=str(row["name"]),
        scopes=frozenset(map(Scope, row["scopes"])),
        created=float(row["created"]),
        expires=None if expires is None else float(expires),
        salt=row["salt"],
        digest=row["digest"],
    )
