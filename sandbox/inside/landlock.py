"""Landlock: a process gives up access to files, TCP ports, foreign sockets and foreign processes.

Needs no privilege. What is restricted depends on the kernel's version of it; see landlock(7).
"""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from enum import IntFlag

from sandbox.inside.system import call

# From <linux/landlock.h>.
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1


class FileRight(IntFlag):
    """LANDLOCK_ACCESS_FS_*, in the order in which versions added them."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


_ALL = FileRight((1 << 16) - 1)
_READ = FileRight.EXECUTE | FileRight.READ_FILE | FileRight.READ_DIR
_DEVICE = FileRight.READ_FILE | FileRight.WRITE_FILE
_WRITE = _ALL & ~(FileRight.MAKE_CHAR | FileRight.MAKE_BLOCK | FileRight.IOCTL_DEV)
#: Rights that a rule on something else than a folder may name.
_ON_FILES = (
    FileRight.EXECUTE
    | FileRight.WRITE_FILE
    | FileRight.READ_FILE
    | FileRight.TRUNCATE
    | FileRight.IOCTL_DEV
)

#: The number of file rights that a version knows: 13 at first, REFER in 2, TRUNCATE in 3 and
#: IOCTL_DEV in 5.
_RIGHTS_BY_VERSION = ((5, 16), (3, 15), (2, 14), (1, 13))

#: Binding and connecting TCP ports (version 4).
_NETWORK_VERSION, _NETWORK_RIGHTS = 4, 0b11
#: Abstract unix sockets and signals of processes outside (version 6).
_SCOPE_VERSION, _SCOPES = 6, 0b11


def version() -> int:
    """The kernel's version of Landlock; 0 where there is none, or it is off."""
    try:
        return call("landlock_create_ruleset", None, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


def restrict(readable: Iterable[str], writable: Iterable[str], devices: Iterable[str]) -> None:
    """Give this thread, and what it starts, access to these paths and what is below them alone.

    Call it after no_new_privs is set and while there is one thread. Paths that do not exist are
    left out; links are followed now.

    Raises:
        OSError: the kernel refuses.
    """
    supported = version()
    handled = FileRight((1 << _rights_count(supported)) - 1)
    attributes = struct.pack(
        "=QQQ",
        handled,
        _NETWORK_RIGHTS if supported >= _NETWORK_VERSION else 0,
        _SCOPES if supported >= _SCOPE_VERSION else 0,
    )
    # Fields unknown to an old kernel are accepted as long as they are zero.
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    ruleset = call("landlock_create_ruleset", buffer, len(attributes), 0)
    try:
        for paths, rights in ((readable, _READ), (writable, _WRITE), (devices, _DEVICE)):
            for path in paths:
                _allow(ruleset, path, rights & handled)
        call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)


def _rights_count(supported: int) -> int:
    return next((count for since, count in _RIGHTS_BY_VERSION if supported >= since), 0)


def _allow(ruleset: int, path: str, rights: FileRight) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _ON_FILES
        rule = struct.pack("=Qi", rights, descriptor)
        buffer = ctypes.create_string_buffer(rule, len(rule))
        call("landlock_add_rule", ruleset, _RULE_PATH_BENEATH, buffer, 0)
    finally:
        os.close(descriptor)
