"""User ids for kernels: one each, of users that do not exist, never used twice by a pool."""

import os
import pwd
import secrets
from pathlib import Path

#: Ids that no convention assigns, from "Users, Groups, UIDs and GIDs on systemd Systems". With so
#: many, two servers that draw at random do not meet.
_UNASSIGNED = range(1_879_048_192, 2_147_483_647)

#: In a user namespace of 65,536 ids: above those of people and services, below those of nobody and
#: of systemd's dynamic users.
_SMALL_UNASSIGNED = range(20_000, 60_000)

#: Capabilities (numbers of <linux/capability.h>) to give folders away, use what is in them, end
#: other users' processes and become them: CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID.
_NEEDED_CAPABILITIES = (0, 1, 3, 5, 6, 7)

#: DAC_READ_SEARCH, which lets a process read all files, else DAC_OVERRIDE, which root in a
#: container has, and which lets it write them too.
_READING_CAPABILITIES = (2, 1)


class Identities:
    """Draws user ids, which are group ids too."""

    def __init__(self) -> None:
        self._range = _usable_range()
        self._drawn: set[int] = set()

    @property
    def available(self) -> bool:
        """Whether this process may become other users, and there are some."""
        return len(self._range) > 0 and all(map(_is_held, _NEEDED_CAPABILITIES))

    def draw(self) -> int:
        """An id that nobody has.

        Raises:
            LookupError: none is left.
        """
        for _ in range(1000):
            uid = self._range[secrets.randbelow(len(self._range))]
            if uid not in self._drawn and (self._range is _UNASSIGNED or not _exists(uid)):
                self._drawn.add(uid)
                return uid
        raise LookupError("user ids for kernels: none is left; restart the server")


def reading_capability() -> int | None:
    """The least capability of this process that lets another user read what is closed to it."""
    return next(filter(_is_held, _READING_CAPABILITIES), None)


def _is_held(capability: int) -> bool:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    held = next((line for line in status.splitlines() if line.startswith("CapEff:")), "CapEff: 0")
    return bool(int(held.split()[1], 16) >> capability & 1)


def _usable_range() -> range:
    mapped = [_mapped(name) for name in ("uid_map", "gid_map")]
    for ids in (_UNASSIGNED, _SMALL_UNASSIGNED):
        if all(any(ids[0] in m and ids[-1] in m for m in ranges) for ranges in mapped):
            return ids
    return range(0)


def _mapped(name: str) -> list[range]:
    """The ids that exist in this user namespace; see user_namespaces(7)."""
    try:
        text = Path("/proc/self", name).read_text(encoding="ascii")
    except OSError:
        return []
    rows = [tuple(map(int, line.split())) for line in text.splitlines()]
    return [range(inside, inside + count) for inside, _, count in rows]


def _exists(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return any(_owner(entry) == uid for entry in os.scandir("/proc") if entry.name.isdigit())
    return True


def _owner(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat().st_uid
    except OSError:
        return -1
