"""Which system calls a kernel may not make, in two steps: before its sockets are bound and after.

Denied calls fail with EPERM, which programs handle, rather than killing the process.
"""

import ctypes
import errno
import os
import resource
import sys
from functools import cache

from sandbox.inside.bpf import Differs, Equals, HasAny, NotNull, Rule, assemble
from sandbox.inside.system import call, control

# From <linux/seccomp.h> and <linux/prctl.h>.
_SET_MODE_FILTER = 1
_FLAG_ALL_THREADS = 1
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36

#: From <linux/socket.h>: unix sockets, and the bits of a socket's type that are not flags.
_UNIX = 1
_STREAM, _SEQUENCED = 1, 5
#: SOCK_NONBLOCK and SOCK_CLOEXEC may be added to a type.
_TYPE_FLAGS = 0o2004000

#: From <asm-generic/socket.h>.
_SOL_SOCKET = 1
_SO_SNDBUF = 7

#: CLONE_NEWNS, and NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET, of <linux/sched.h>.
_NAMESPACES = 0x00020000 | 0x7E000000

#: CLONE_PARENT of <linux/sched.h>.
_CHILD_OF_PARENT = 0x00008000

#: PRIO_PROCESS and IOPRIO_WHO_PROCESS.
_PRIORITY_OF_PROCESS = 0
_IO_PRIORITY_OF_PROCESS = 1

#: The server's own, and so its children's.
_SCHEDULING = os.sched_getscheduler(0) if sys.platform == "linux" else 0

#: From <linux/fcntl.h>.
_F_SETLEASE = 1024
_F_SETPIPE_SZ = 1031
_F_SET_RW_HINT = 1036

#: From <linux/mman.h>: also of MAP_SHARED_VALIDATE.
_MAP_SHARED = 0x01
_MAP_ANONYMOUS = 0x20

#: TIOCSTI: type into a terminal.
_TERMINAL_INPUT = 0x5412
#: The type of ioctls, and the one of terminals ("T"), whose pipes and sockets have too.
_IOCTL_TYPE, _OF_TERMINALS = 0xFF00, 0x5400

#: What no mathematics needs: other processes' memory and descriptors, kernel facilities with a long
#: record of holes, mounts and namespaces, the machine's clock and devices, System V's and POSIX'
#: shared objects, which outlive a process, files in memory, which belong to no process' share, the
#: machine's few asynchronous requests, what tells of files that may not be opened, and what puts
#: whole pages into pipes, which can be huge: they are held, and no process' memory.
_ALWAYS_DENIED = """
    acct add_key adjtimex bpf chroot clock_adjtime clock_settime delete_module fanotify_init
    finit_module fsconfig fsmount fsopen fspick init_module inotify_add_watch io_setup io_submit
    io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load
    keyctl lookup_dcookie memfd_create memfd_secret migrate_pages modify_ldt mount mount_setattr
    move_mount move_pages mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink
    msgctl msgget msgrcv msgsnd name_to_handle_at open_by_handle_at open_tree open_tree_attr
    perf_event_open personality pidfd_getfd pivot_root process_madvise process_mrelease
    process_vm_readv process_vm_writev ptrace quotactl quotactl_fd reboot request_key semctl
    semget semop semtimedop setdomainname sethostname setns settimeofday shmat shmctl shmdt
    shmget splice swapoff swapon syslog tee umount2 unshare userfaultfd vhangup vmsplice
"""

#: Attributes of files, which Landlock does not see. These calls fail as where a file system has
#: none, which programs that copy files take quietly.
_ATTRIBUTES = """
    fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat
    llistxattr lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat
"""

#: Calls on another process than the caller (0) fail: the same user's processes are not protected
#: by their user.
_OWN_PROCESS_ONLY = (
    Rule("prlimit64", (Differs(0, 0), NotNull(2))),
    Rule("sched_setaffinity", (Differs(0, 0),)),
    Rule("sched_setattr", (Differs(0, 0),)),
    Rule("sched_setparam", (Differs(0, 0),)),
    # ZMQ's threads set the scheduling that they have, by their ids.
    Rule("sched_setscheduler", (Differs(0, 0), Differs(1, _SCHEDULING))),
    Rule("setpriority", (Differs(0, _PRIORITY_OF_PROCESS),)),
    Rule("setpriority", (Differs(1, 0),)),
    Rule("ioprio_set", (Differs(0, _IO_PRIORITY_OF_PROCESS),)),
    Rule("ioprio_set", (Differs(1, 0),)),
)

#: The kernel stays tied to its parent, its orphans to it, and branded (`sandbox.inside.limits`).
_TIES = (
    Rule("prctl", (Equals(0, _PR_SET_PDEATHSIG),)),
    Rule("prctl", (Equals(0, _PR_SET_DUMPABLE),)),
    Rule("prctl", (Equals(0, _PR_SET_CHILD_SUBREAPER),)),
    Rule("setrlimit", (Equals(0, resource.RLIMIT_RTTIME),)),
    Rule("prlimit64", (Equals(1, resource.RLIMIT_RTTIME), NotNull(2))),
)

EARLY_RULES = (
    *(Rule(name) for name in _ALWAYS_DENIED.split()),
    *(Rule(name, error=errno.EOPNOTSUPP) for name in _ATTRIBUTES.split()),
    *_OWN_PROCESS_ONLY,
    Rule("clone", (HasAny(0, _NAMESPACES),)),
    # It would be the server's child, which waits for none that it has not started.
    Rule("clone", (HasAny(0, _CHILD_OF_PARENT),)),
    # Its flags are in memory, where a filter cannot look; the C library falls back to clone.
    Rule("clone3", error=errno.ENOSYS),
    Rule("ioctl", (Equals(1, _TERMINAL_INPUT),)),
    # Those of file systems change files that are only open for reading: flags, projects, versions.
    # As where a file system has none: what copies files then does it otherwise.
    Rule("ioctl", (Differs(1, _OF_TERMINALS, _IOCTL_TYPE),), errno.EOPNOTSUPP),
    # What a pipe holds is no process' memory; the warden counts each with the usual size.
    Rule("fcntl", (Equals(1, _F_SETPIPE_SZ),)),
    Rule("socket", (Differs(0, _UNIX),)),
    Rule("socketpair", (Differs(0, _UNIX),)),
)

#: Shared memory that has no file stays as long as one page of it is mapped. For kernels of which
#: the warden cannot ask how large it is.
UNSHARED_RULES = (Rule("mmap", (HasAny(3, _MAP_SHARED), HasAny(3, _MAP_ANONYMOUS))),)

#: Landlock does not see changes of a file's times: for them, the right to write the file is enough,
#: which a kernel with CAP_DAC_OVERRIDE has to all files. Others have it to what everybody may
#: write; they keep the calls, for what copies files in their own folder sets times.
TIMES_RULES = tuple(map(Rule, ("utime", "utimes", "futimesat", "utimensat")))

#: Nor does it see what the owner of a file may do without writing it: take the rights to it from
#: everybody, give them to anybody, have others wait for it, or say how it will be used. For kernels
#: of the server's user.
OWNER_RULES = (
    *TIMES_RULES,
    *map(Rule, ("chmod", "fchmod", "fchmodat", "fchmodat2", "file_setattr")),
    *map(Rule, ("chown", "fchown", "fchownat", "lchown")),
    Rule("fcntl", (Equals(1, _F_SETLEASE),)),
    Rule("fcntl", (Equals(1, _F_SET_RW_HINT),)),
)

LATE_RULES = (
    *_TIES,
    # Files without a name that are on their way in a socket, or in a rule, belong to no process:
    # the disk that they hold could not be counted.
    *(Rule(name) for name in ("sendmsg", "sendmmsg")),
    Rule("landlock_create_ruleset", error=errno.ENOSYS),
    # What a socket holds is no process' memory; the warden counts each with the usual size.
    Rule("setsockopt", (Equals(1, _SOL_SOCKET), Equals(2, _SO_SNDBUF))),
    *(Rule(name) for name in ("socket", "bind", "connect", "listen")),
    # A datagram socket of a pair can send to any address.
    Rule(
        "socketpair",
        tuple(
            Differs(1, kind | flags)
            for kind in (_STREAM, _SEQUENCED)
            for flags in (0, 0o4000, 0o2000000, _TYPE_FLAGS)
        ),
    ),
)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def forbid_new_privileges() -> None:
    """No program that this thread starts gains rights; Landlock and seccomp require it."""
    control(_PR_SET_NO_NEW_PRIVS, 1)


@cache
def filter_code(rules: tuple[Rule, ...]) -> bytes:
    """Return the program of a filter; kept, so that forks have what was once asked for."""
    return assemble(rules)


def install(rules: tuple[Rule, ...], *, all_threads: bool = False) -> None:
    """Put a filter on this thread, or on all threads of the process, for good.

    Raises:
        OSError: the kernel refuses, or a thread cannot be brought under the filter.
    """
    code = filter_code(rules)
    buffer = ctypes.create_string_buffer(code, len(code))
    # An instruction has 8 bytes.
    program = _Program(len(code) // 8, ctypes.addressof(buffer))
    flags = _FLAG_ALL_THREADS if all_threads else 0
    if stray := call("seccomp", _SET_MODE_FILTER, flags, program):
        raise OSError(errno.ESRCH, f"seccomp: thread {stray} has a filter of its own")
