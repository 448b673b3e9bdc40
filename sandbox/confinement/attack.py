"""Attacks from inside: a throw-away process confines itself like a kernel, then tries to get out.

Run by its path with one argument of JSON (`sandbox.confinement.probe` is the other end); standard
library only. What it says on standard output, a line of JSON each, is believed only as far as it
admits a success: what can be seen from outside is judged there.
"""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from sandbox.inside.confinement import (
    ConfinementPlan,
    Mechanism,
    MechanismError,
    confine_early,
    confine_late,
)
from sandbox.inside.system import call

#: From <linux/ptrace.h>: attach without stopping.
_PTRACE_SEIZE = 0x4206

#: AF_PACKET and AF_VSOCK, which not all builds of Python name.
_PACKET, _VSOCK = 17, 40

#: FS_IOC_GETFLAGS and FS_IOC_SETFLAGS of <linux/fs.h>.
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602

_PAGE = 4096


def main() -> None:
    """Confine, report, attack, and wait to be killed."""
    options = json.loads(sys.argv[1])
    plan = ConfinementPlan.from_json(options["plan"])
    try:
        confine_early(plan, options["parent"])
        # As a kernel has them when it is sealed: sockets, and a thread.
        options["held"] = [_listening(address) for address in options["own_sockets"]]
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        confine_late(plan)
        _need(plan, options["needed"])
    except MechanismError as error:
        _say(failed=error.mechanism, reason=error.strerror)
        return
    _say(ready=os.getpid())
    _ROLES[options["role"]](options)
    # The pool has yet to see what it wants to see, of open sockets too.
    while True:
        signal.pause()


def _need(plan: ConfinementPlan, paths: list[str]) -> None:
    """Fail where a kernel could not import what it needs."""
    for path in paths:
        try:
            os.close(os.open(path, os.O_RDONLY))
        except OSError as error:
            landlock = Mechanism.LANDLOCK in plan.mechanisms
            cause = Mechanism.LANDLOCK if landlock else Mechanism.IDENTITY
            raise MechanismError(cause, error) from error


def _be_attacked(options: dict[str, Any]) -> None:
    """A sibling kernel: it has a file and a socket of its own."""
    Path(options["secret"]).write_bytes(b"secret")
    _say(done=True)


def _attack(options: dict[str, Any]) -> None:
    for guarantee, attacks in (
        ("network", _network()),
        ("sockets", _sockets(options["foreign_sockets"])),
        ("files", _files(options)),
        ("signals", _signals(options["foreign_processes"])),
        ("memory", _memory(options["memory"])),
    ):
        for name, attack in attacks:
            with suppress(OSError, MemoryError, ValueError, AttributeError):
                if attack() is not False:
                    _say(guarantee=guarantee, success=name)
    _say(done=True)


def _network() -> Iterator[tuple[str, Callable[[], object]]]:
    kinds = {
        "an IPv4 socket": (socket.AF_INET, socket.SOCK_STREAM, 0),
        "an IPv6 socket": (socket.AF_INET6, socket.SOCK_STREAM, 0),
        "a datagram socket": (socket.AF_INET, socket.SOCK_DGRAM, 0),
        "a raw socket": (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        "a netlink socket": (socket.AF_NETLINK, socket.SOCK_RAW, 0),
        "a packet socket": (_PACKET, socket.SOCK_RAW, 0),
        "a vsock socket": (_VSOCK, socket.SOCK_STREAM, 0),
    }
    for name, (family, kind, protocol) in kinds.items():
        yield name, lambda f=family, k=kind, p=protocol: socket.socket(f, k, p).close()  # type: ignore[misc]
    yield "io_uring", lambda: call("io_uring_setup", 1, ctypes.create_string_buffer(120))


def _sockets(addresses: list[str]) -> Iterator[tuple[str, Callable[[], object]]]:
    for address in addresses:
        yield f"a connection to {_named(address)}", lambda a=address: _connect(a)  # type: ignore[misc]
        yield f"a datagram to {_named(address)}", lambda a=address: _send(a)  # type: ignore[misc]


def _files(options: dict[str, Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    for path in options["secrets"]:
        yield f"reading {path}", lambda p=path: os.close(os.open(p, os.O_RDONLY))  # type: ignore[misc]
    for path in options["forbidden"]:
        # The pool looks whether the file is there: a kernel may have its own /dev/shm.
        yield f"writing {path}", lambda p=path: bool(Path(p).write_bytes(b"breach")) and False  # type: ignore[misc]
    yield "changing who may read", lambda: os.chmod(options["victim"], 0o600)  # noqa: PTH101 - one call
    yield "changing the time", lambda: os.utime(options["victim"])
    yield "deleting", lambda: os.unlink(options["victim"])  # noqa: PTH108 - one call
    marked, attribute = options["marked"], options["attribute"]
    yield "reading an attribute", lambda: os.getxattr(marked, attribute)
    yield "removing an attribute", lambda: os.removexattr(marked, attribute)
    for path in options["readable"]:
        yield f"changing flags of {path}", lambda p=path: _set_flags(p)  # type: ignore[misc]
    for pid in options["foreign_processes"]:
        for name in ("environ", "mem", "maps"):
            path = f"/proc/{pid}/{name}"
            yield f"reading {name} of a process", lambda p=path: os.open(p, os.O_RDONLY)  # type: ignore[misc]


def _set_flags(path: str) -> None:
    """Set the flags that it has; for which to have it open for reading is enough."""
    with open(path, "rb") as file:  # noqa: PTH123 - as bare as can be
        flags = fcntl.ioctl(file, _GET_FLAGS, bytes(8))
        fcntl.ioctl(file, _SET_FLAGS, flags)


def _signals(pids: list[int]) -> Iterator[tuple[str, Callable[[], object]]]:
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    for pid in pids:
        cores = os.sched_getaffinity(0)
        attacks: dict[str, Callable[[int], object]] = {
            "kill": lambda p: os.kill(p, 0),
            "pidfd_send_signal": lambda p: signal.pidfd_send_signal(os.pidfd_open(p), 0),
            "ptrace": lambda p: call("ptrace", _PTRACE_SEIZE, p, 0, 0),
            "process_vm_readv": _read_memory,
            "pidfd_getfd": lambda p: call("pidfd_getfd", os.pidfd_open(p), 0, 0),
            "prlimit": lambda p: resource.prlimit(
                p, resource.RLIMIT_CORE, resource.prlimit(p, resource.RLIMIT_CORE)
            ),
            "setpriority": lambda p: os.setpriority(os.PRIO_PROCESS, p, niceness),
            "sched_setaffinity": lambda p, c=cores: os.sched_setaffinity(p, c),  # type: ignore[misc]
        }
        for name, attack in attacks.items():
            yield f"{name} on another process", lambda a=attack, p=pid: a(p)  # type: ignore[misc]
    yield "setpriority on a user", lambda: os.setpriority(os.PRIO_USER, 0, niceness)


def _read_memory(pid: int) -> None:
    """Read a byte; at an address where there is none, the right to do so shows in the error."""
    byte = ctypes.create_string_buffer(1)
    own = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(byte), 1))
    foreign = ctypes.create_string_buffer(struct.pack("=QQ", _PAGE, 1))
    with _allowing(errno.EFAULT):
        call("process_vm_readv", pid, own, 1, foreign, 1, 0)


@contextmanager
def _allowing(code: int) -> Iterator[None]:
    """Let one error of the system pass."""
    try:
        yield
    except OSError as error:
        if error.errno != code:
            raise


def _memory(limit: int) -> Iterator[tuple[str, Callable[[], object]]]:
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    yield "more memory in one process", lambda: mmap.mmap(-1, limit, private).close()
    yield "a file in memory", lambda: os.close(os.memfd_create("attack"))
    shared = resource.RLIM_INFINITY
    yield "no limit", lambda: resource.setrlimit(resource.RLIMIT_AS, (shared, shared))


def _fill_memory(options: dict[str, Any]) -> None:
    """Many processes, none of which is large: the pool waits for the warden to end them."""
    for _ in range(options["count"]):
        if os.fork() == 0:
            block = mmap.mmap(-1, options["memory"], mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            for offset in range(0, len(block), _PAGE):
                block[offset] = 1
            signal.pause()
    _say(done=True)


def _fill_buffers(options: dict[str, Any]) -> None:
    """Many sockets, whose buffers are no process' memory: the pool waits for the warden again."""
    held = [socket.socketpair() for _ in range(options["count"])]
    _say(done=len(held))
    signal.pause()


def _multiply(options: dict[str, Any]) -> None:
    """As many processes as can be had, and a daemon that has left session and parents."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(writer, str(os.getpid()).encode())
            signal.pause()
        os._exit(0)
    _say(daemon=int(os.read(reader, 16)))
    children = 0
    with suppress(OSError):
        while children < options["count"]:
            if os.fork() == 0:
                signal.pause()
            children += 1
    if children == options["count"]:
        _say(guarantee="processes", success=f"{children} processes")
    _say(done=True)


def _listening(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    # Landlock may not know abstract sockets: then nothing forbids making one, which harms nobody.
    with suppress(PermissionError):
        listener.bind(_raw(address))
        listener.listen()
    return listener


def _connect(address: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(_raw(address))


def _send(address: str) -> None:
    for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM):
        end.sendto(b"x", _raw(address))


def _raw(address: str) -> str:
    """An address as the system takes it: "@name" is an abstract one."""
    return f"\0{address[1:]}" if address.startswith("@") else address


def _named(address: str) -> str:
    return "an abstract socket" if address.startswith("@") else "a socket in a folder"


def _say(**words: object) -> None:
    # One write: several processes share the pipe.
    os.write(1, json.dumps(words).encode() + b"\n")


_ROLES = {
    "victim": _be_attacked,
    "attacker": _attack,
    "memory": _fill_memory,
    "buffers": _fill_buffers,
    "processes": _multiply,
}

if __name__ == "__main__":
    main()
