"""Who a kernel's process is: whose child, which user, with which capabilities."""

import ctypes
import os
import signal
import struct

from sandbox.inside.system import call, control

# From <linux/prctl.h>.
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36

_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2

#: _LINUX_CAPABILITY_VERSION_3: two words for each of three sets.
_CAPABILITY_VERSION = 0x20080522


def tie_to_parent(parent: int) -> None:
    """Have the kernel (Linux) kill this process when `parent` ends, and keep orphans below us.

    The death signal belongs to the parent's thread that started us. Orphaned grandchildren come to
    us, so that they are found by descent. A change of user undoes the tie: repeat it then.
    """
    control(_PR_SET_PDEATHSIG, signal.SIGKILL)
    control(_PR_SET_CHILD_SUBREAPER, 1)
    if os.getppid() != parent:
        # It ended before the death signal was set.
        os._exit(1)


def become(uid: int, gid: int, capability: int | None = None) -> None:
    """Be this user for good, in no other group, with at most one capability.

    Raises:
        OSError: not permitted, or the ids do not exist in this user namespace.
    """
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    if capability is not None:
        control(_PR_SET_KEEPCAPS, 1)
    os.setresuid(uid, uid, uid)
    drop_capabilities(capability)
    if capability is not None:
        control(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def drop_capabilities(kept: int | None = None) -> None:
    """Give up all capabilities of this thread, or all but one."""
    bits = 0 if kept is None else 1 << kept
    set_capabilities(bits, bits, bits)


def set_capabilities(effective: int, permitted: int, inheritable: int) -> None:
    """Set the capabilities of this thread: a bit for each.

    Raises:
        OSError: it may not have them.
    """
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    wanted = (effective, permitted, inheritable)
    # The low words of the three first, then the high ones.
    words = (*(bits & 0xFFFFFFFF for bits in wanted), *(bits >> 32 for bits in wanted))
    sets = struct.pack("=6I", *words)
    call(
        "capset",
        ctypes.create_string_buffer(header, len(header)),
        ctypes.create_string_buffer(sets, len(sets)),
    )


def let_user_inspect() -> None:
    """Have /proc/self belong to the user again, which a change of user has undone."""
    control(_PR_SET_DUMPABLE, 1)
