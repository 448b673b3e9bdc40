"""A kernel's own mounts: a bounded scratch folder, and shared memory that is its alone."""

import ctypes
import os

from sandbox.inside.system import call

# From <linux/sched.h> and <linux/mount.h>.
_CLONE_NEWNS = 0x00020000
_MS_NOSUID, _MS_NODEV = 0x2, 0x4
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000

#: The C library's semaphores and shared memory (sem_open, shm_open) are files here.
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - the name that the C library has built in

#: A file of a tmpfs takes about a kilobyte of the system's memory beside its content.
_BYTES_PER_FILE = 16 * 1024


def make_private_mounts(home: str, uid: int, gid: int, scratch_bytes: int) -> None:
    """Leave the mount namespace; put file systems in memory at `home` and at /dev/shm.

    They are `scratch_bytes` large each, and end with the last process that sees them.

    Raises:
        OSError: not permitted (CAP_SYS_ADMIN is needed).
    """
    call("unshare", _CLONE_NEWNS)
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE, "")
    size = f"size={scratch_bytes},nr_inodes={max(scratch_bytes // _BYTES_PER_FILE, 64)}"
    for path in (home, SHARED_MEMORY):
        if os.path.isdir(path):  # noqa: PTH112 - pathlib costs an import of 10 ms in a cold kernel
            options = f"{size},mode=0700,uid={uid},gid={gid}"
            _mount("tmpfs", path, "tmpfs", _MS_NOSUID | _MS_NODEV, options)


def _mount(source: str, target: str, kind: str, flags: int, options: str) -> None:
    texts = [ctypes.create_string_buffer(os.fsencode(t)) for t in (source, target, kind, options)]
    call("mount", texts[0], texts[1], texts[2], flags, texts[3])
