"""Rows that reach for other processes, and for rights that they do not have."""

from sandbox.confinement.tiers import Guarantee
from tests.hostile.row import Row, Then, refused, unbreached

_NETWORK = frozenset({Guarantee.NETWORK})
_FILES = frozenset({Guarantee.FILES})
_SIGNALS = frozenset({Guarantee.SIGNALS})
_STRICT = frozenset(set(Guarantee) - {Guarantee.MEMORY, Guarantee.PROCESSES})


def _refused(name: str, code: str, needs: frozenset[Guarantee]) -> Row:
    return Row(name, "refused with an error", refused, (code,), needs)


PROCESSES = (
    _refused(
        "asynchronous requests, of which the machine has few",
        """
attempt("io_setup", lambda: system_call(206, 60_000, ctypes.byref(ctypes.c_ulong())))
attempt("send buffer", lambda: socket.socketpair()[0].setsockopt(1, socket.SO_SNDBUF, 1 << 30))
descriptor = system_call(294, 0)
for path in ("/root", "/tmp"):
    attempt(path, lambda: system_call(254, descriptor, path.encode(), 0x100))
attempt("mark", lambda: os.setxattr("/tmp", "user.quorum", b"1"))
""",
        _SIGNALS,
    ),
    _refused(
        "signals parent, canary and sibling",
        """
for name in ("canary", "sibling", "pool"):
    for number in (0, signal.SIGUSR1, signal.SIGSTOP, signal.SIGKILL):
        attempt(f"{name} {number}", lambda: os.kill(targets[name], number))
    attempt(f"{name} by pidfd", lambda: signal.pidfd_send_signal(os.pidfd_open(targets[name]), 9))
    attempt(f"{name} queued", lambda: system_call(
        129, targets[name], 9, ctypes.create_string_buffer(128)))
attempt("group of the pool", lambda: os.killpg(os.getpgid(targets["pool"]), 0))
""",
        _SIGNALS,
    ),
    Row(
        "kills all that it can",
        "only itself",
        unbreached,
        ("os.kill(-1, signal.SIGKILL)",),
        _SIGNALS,
        Then.EITHER,
    ),
    _refused(
        "inspects other processes",
        """
for name in ("canary", "sibling", "pool"):
    pid = targets[name]
    attempt(f"{name} environ", lambda: open(f"/proc/{pid}/environ", "rb").read() or 1 / 0)
    attempt(f"{name} mem", lambda: open(f"/proc/{pid}/mem", "rb").read(1))
    attempt(f"{name} maps", lambda: open(f"/proc/{pid}/maps").read() or 1 / 0)
    attempt(f"{name} fds", lambda: os.listdir(f"/proc/{pid}/fd"))
    attempt(f"{name} cwd", lambda: os.listdir(f"/proc/{pid}/cwd"))
    attempt(f"{name} root", lambda: os.listdir(f"/proc/{pid}/root"))
""",
        _SIGNALS | _FILES,
    ),
    _refused(
        "reads and writes memory of other processes",
        """
buffer = ctypes.create_string_buffer(64)
class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
for name in ("canary", "sibling", "pool"):
    here = Vector(ctypes.addressof(buffer), 16)
    there = Vector(targets["address"] if name == "canary" else id(targets), 16)
    for number in (310, 311):
        attempt(f"{name} vector {number}", lambda: system_call(
            number, targets[name], ctypes.byref(here), 1, ctypes.byref(there), 1, 0))
    attempt(f"{name} attach", lambda: system_call(101, 16, targets[name], 0, 0))
    attempt(f"{name} seize", lambda: system_call(101, 0x4206, targets[name], 0, 0))
    attempt(f"{name} compare", lambda: system_call(312, os.getpid(), targets[name], 0, 0, 0))
""",
        _SIGNALS,
    ),
    _refused(
        "takes descriptors of other processes",
        """
for name in ("canary", "sibling", "pool"):
    for number in range(8):
        attempt(f"{name} {number}", lambda: system_call(
            438, os.pidfd_open(targets[name]), number, 0))
""",
        _SIGNALS,
    ),
    _refused(
        "slows other processes down",
        """
for name in ("canary", "sibling", "pool"):
    pid = targets[name]
    attempt(f"{name} limits", lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (1, 1)))
    attempt(f"{name} nice", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19))
    attempt(f"{name} cores", lambda: os.sched_setaffinity(pid, {0}))
    attempt(f"{name} policy", lambda: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)))
    attempt(f"{name} memory", lambda: open(f"/proc/{pid}/oom_score_adj", "w").write("1000"))
attempt("input and output", lambda: system_call(251, 1, targets["canary"], 3 << 13))
""",
        _SIGNALS,
    ),
    _refused(
        "leaves marks in shared memory",
        """
attempt("System V memory", lambda: system_call(29, 0x51, 4096, 0o1666))
attempt("System V semaphores", lambda: system_call(64, 0x51, 1, 0o1666))
attempt("message queue", lambda: system_call(240, b"/hostile", 0o102, 0o666, 0))
""",
        _FILES,
    ),
)

RIGHTS = (
    _refused(
        "raises its own limits",
        """
for name in ("RLIMIT_AS", "RLIMIT_FSIZE", "RLIMIT_CORE"):
    kind = getattr(resource, name)
    hard = resource.getrlimit(kind)[1]
    for higher in (resource.RLIM_INFINITY, hard + 1):
        attempt(name, lambda: resource.setrlimit(kind, (higher, higher)) if hard != -1 else 1 / 0)
""",
        _STRICT,
    ),
    _refused(
        "unties its daemons from its kernel",
        """
attempt("orphans", lambda: system_call(157, 36, 0, 0, 0, 0))
attempt("death signal", lambda: system_call(157, 1, 0, 0, 0, 0))
""",
        _SIGNALS,
    ),
    _refused(
        "becomes another user",
        """
for call, name in ((os.setuid, "uid"), (os.setgid, "gid")):
    for number in (0, 1, 65534):
        attempt(f"{name} {number}", lambda: call(number) if os.getuid() != number else 1 / 0)
attempt("groups", lambda: os.setgroups([0]))
header = ctypes.create_string_buffer(b"\\x22\\x05\\x08\\x20" + bytes(4))
attempt("capabilities", lambda: system_call(
    126, header, ctypes.create_string_buffer(b"\\xff" * 24)))
""",
        _SIGNALS,
    ),
    _refused(
        "changes its root and its namespaces",
        """
attempt("chroot", lambda: os.chroot("/"))
attempt("pivot_root", lambda: system_call(155, b"/", b"/"))
kinds = {"user": 0x10000000, "mount": 0x20000, "pid": 0x20000000, "network": 0x40000000}
for name, flag in kinds.items():
    attempt(f"unshare {name}", lambda: system_call(272, flag))
    attempt(f"setns {name}", lambda: system_call(308, os.open("/proc/self/ns/mnt", 0), flag))
    attempt(f"clone {name}", lambda: system_call(56, flag | 17, 0, 0, 0, 0) or os._exit(0))
attempt("mount", lambda: system_call(165, b"none", b"/tmp", b"tmpfs", 0, 0))
attempt("unmount", lambda: system_call(166, b"/proc", 2))
attempt("new mount", lambda: system_call(430, b"tmpfs", 0))
attempt("open tree", lambda: system_call(428, -100, b"/", 1))
""",
        _SIGNALS,
    ),
    _refused(
        "rarely used kernel services",
        """
attempt("keyctl", lambda: system_call(250, 0, -3, 1))
attempt("add_key", lambda: system_call(248, b"user", b"x", b"x", 1, -3))
attempt("request_key", lambda: system_call(249, b"user", b"x", b"", -3))
attempt("bpf", lambda: system_call(321, 0, ctypes.create_string_buffer(128), 128))
attempt("performance events", lambda: system_call(
    298, ctypes.create_string_buffer(128), 0, -1, -1, 0))
attempt("userfaultfd", lambda: system_call(323, 0))
attempt("modules", lambda: system_call(175, b"", 0, b""))
attempt("kexec", lambda: system_call(246, 0, 0, 0, 0))
attempt("reboot", lambda: system_call(169, 0xFEE1DEAD, 672274793, 0, 0))
attempt("swap", lambda: system_call(167, b"/nothing", 0))
attempt("time", lambda: time.clock_settime(time.CLOCK_REALTIME, 0))
attempt("host name", lambda: socket.sethostname("owned"))
attempt("devices", lambda: os.mknod("device", 0o20666, os.makedev(1, 1)))
attempt("handles", lambda: system_call(304, -100, ctypes.create_string_buffer(128), 0))
attempt("quota", lambda: system_call(179, 0x800002, b"/", 0, ctypes.create_string_buffer(128)))
""",
        _SIGNALS,
    ),
    Row(
        "32-bit calls",
        "refused, or the end of the kernel",
        unbreached,
        (
            """
import mmap
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
# mov eax, 359 (socket); mov ebx, 2; mov ecx, 1; xor edx, edx; int 0x80; ret
code.write(bytes.fromhex("53b867010000bb02000000b90100000031d2cd805bc3"))
function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
def call():
    if function() < 0: raise PermissionError
attempt("socket", call)
""",
        ),
        _NETWORK,
        Then.EITHER,
    ),
    _refused(
        "regains rights through a program",
        """
def gain(command):
    done = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=5)
    if done.returncode or "0" != done.stdout.strip():
        raise PermissionError(done.returncode)
attempt("su", lambda: gain(["su", "-c", "id -u"]))
attempt("sudo", lambda: gain(["sudo", "-n", "id", "-u"]))
attempt("newuidmap", lambda: gain(["unshare", "-r", "id", "-u"]))
""",
        _SIGNALS,
    ),
)

ROWS = (*PROCESSES, *RIGHTS)
