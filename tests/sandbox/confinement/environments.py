"""Turns a process of root into one like those of other places, and says what the probe sees there.

Run as a program with the name of a place; it prints one line of JSON.
"""

import ctypes
import errno
import json
import os
import struct
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import anyio

from sandbox.confinement.probe import open_confinement
from sandbox.inside.bpf import HasAny, Rule
from sandbox.inside.identity import become
from sandbox.inside.seccomp import forbid_new_privileges, install
from sandbox.inside.system import call, control
from sandbox.settings import PoolSettings

#: Of Docker's documentation: what root in a container may do, by <linux/capability.h>: CHOWN,
#: DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, NET_RAW,
#: SYS_CHROOT, MKNOD, AUDIT_WRITE, SETFCAP.
DOCKER_CAPABILITIES = (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31)

#: System calls that Docker's default profile denies without CAP_SYS_ADMIN and its like.
DOCKER_DENIED = (
    "acct add_key bpf delete_module fanotify_init finit_module fsconfig fsmount fsopen fspick"
    " init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kexec_file_load"
    " kexec_load keyctl lookup_dcookie mount mount_setattr move_mount name_to_handle_at"
    " open_by_handle_at open_tree perf_event_open pivot_root quotactl reboot request_key setns"
    " settimeofday swapoff swapon syslog umount2 unshare userfaultfd vhangup"
)

_PR_CAPBSET_DROP = 24
_NAMESPACES = 0x7E020000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000


def docker() -> None:
    """Root with the capabilities and the system calls of Docker's defaults."""
    for capability in range(41):
        if capability not in DOCKER_CAPABILITIES:
            control(_PR_CAPBSET_DROP, capability)
    bits = sum(1 << capability for capability in DOCKER_CAPABILITIES)
    forbid_new_privileges()
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0))
    call("capset", header, ctypes.create_string_buffer(struct.pack("=6I", bits, bits, 0, 0, 0, 0)))
    install(
        (
            *(Rule(name) for name in DOCKER_DENIED.split()),
            Rule("clone", (HasAny(0, _NAMESPACES),)),
            Rule("clone3", error=errno.ENOSYS),
        )
    )


def docker_without_landlock() -> None:
    """The same on an older kernel."""
    _open_interpreter()
    docker()
    install((Rule("landlock_create_ruleset", error=errno.ENOSYS),))


def ordinary_user() -> None:
    """A user with no rights, whose interpreter is where everybody can read it."""
    _open_interpreter()
    # Another one each time: what the last one has left counts until init has reaped it.
    uid = 50_000 + os.getpid() % 10_000
    become(uid, uid)
    control(4, 1)


def without_seccomp() -> None:
    """A place that takes no filters, as some emulations of Linux."""
    forbid_new_privileges()
    install((Rule("seccomp", error=errno.EINVAL),))


PLACES: dict[str, Callable[[], None]] = {
    place.__name__: place
    for place in (docker, docker_without_landlock, ordinary_user, without_seccomp)
}


def _open_interpreter() -> None:
    """Put another folder in the place of a closed one above it; only this process sees that."""
    prefix = Path(sys.base_prefix).resolve()
    closed = [folder for folder in prefix.parents if not folder.stat().st_mode & 0o001]
    call("unshare", 0x00020000)
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    if closed:
        aside = tempfile.mkdtemp()
        _mount(str(prefix), aside, "", _MS_BIND)
        _mount("tmpfs", str(closed[-1]), "tmpfs", 0)
        closed[-1].chmod(0o755)
        prefix.mkdir(parents=True)
        _mount(aside, str(prefix), "", _MS_BIND)


def _mount(source: str, target: str, kind: str, flags: int) -> None:
    texts = [ctypes.create_string_buffer(text.encode()) for text in (source, target, kind)]
    call("mount", *texts, flags, None)


async def report(settings: PoolSettings) -> dict[str, object]:
    """What the probe sees here."""
    async with open_confinement(settings) as confinement:
        return {
            "tier": confinement.tier,
            "mechanisms": sorted(confinement.mechanisms),
            "guarantees": sorted(confinement.guarantees),
            "failures": dict(confinement.failures),
            "notes": confinement.notes,
        }


def main() -> None:
    """Go to a place and report."""
    PLACES[sys.argv[1]]()
    print(json.dumps(anyio.run(report, PoolSettings(require=sys.argv[2]))))  # noqa: T201 - the report


if __name__ == "__main__":
    main()
