"""What hostile cells must not touch, and who sees it when they do: all judged from outside."""

import hashlib
import os
import resource
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

#: Holds a secret in its environment and in a writable region of its memory; for each line it is
#: given it tells the region's hash. Descriptor 3 is a file with the secret.
_PROCESS = """\
import ctypes, hashlib, os, sys
region = ctypes.create_string_buffer(os.environ["CANARY_SECRET"].encode(), 4096)
print(ctypes.addressof(region), flush=True)
for line in sys.stdin:
    print(hashlib.sha256(region.raw).hexdigest(), flush=True)
"""

_REGION_BYTES = 4096

#: In names of attributes that anybody may set.
ATTRIBUTE = "user.canary"

#: Places that any process may write to where nothing confines it.
_COMMON = (Path("/tmp"), Path("/dev/shm"), Path(os.__file__).parent)


@dataclass(frozen=True, slots=True)
class ProcessState:
    """What another process could change of one."""

    nice: int
    cores: frozenset[int]
    limits: tuple[tuple[int, int], ...]
    out_of_memory_score: str
    traced: bool

    @classmethod
    def of(cls, pid: int) -> "ProcessState":
        """Read it."""
        process = psutil.Process(pid)
        kinds = (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_NOFILE)
        return cls(
            int(process.nice()),
            frozenset(process.cpu_affinity()),
            tuple(resource.prlimit(pid, kind) for kind in kinds),
            Path(f"/proc/{pid}/oom_score_adj").read_text().strip(),
            "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text(),
        )


class ProcessCanary:
    """A process of the pool's own user."""

    def __init__(self, secret: str) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-S", "-c", _PROCESS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"CANARY_SECRET": secret},
            text=True,
        )
        self.pid = self._popen.pid
        assert self._popen.stdout is not None
        self.address = int(self._popen.stdout.readline())
        self._hash = hashlib.sha256(secret.encode().ljust(_REGION_BYTES, b"\0")).hexdigest()
        self._state = ProcessState.of(self.pid)

    def harm(self) -> str | None:
        """What was done to it."""
        if self._popen.poll() is not None:
            return f"the process ended: {self._popen.returncode}"
        if psutil.Process(self.pid).status() == psutil.STATUS_STOPPED:
            return "the process is stopped"
        if ProcessState.of(self.pid) != self._state:
            return f"the process was changed: {ProcessState.of(self.pid)}, not {self._state}"
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._popen.stdin.write("\n")
        self._popen.stdin.flush()
        return None if self._popen.stdout.readline().strip() == self._hash else "memory was changed"

    def close(self) -> None:
        """End it."""
        self._popen.kill()
        self._popen.communicate()


class FileCanary:
    """A folder with a secret file, and one that others may change but for confinement."""

    def __init__(self, folder: Path, secret: str) -> None:
        self.folder = folder
        self.file = folder / "secret"
        self.file.write_text(secret)
        self.file.chmod(0o600)
        self.open_file = folder / "open"
        self.open_file.touch()
        self.open_file.chmod(0o666)
        with suppress(OSError):  # a file system without attributes
            os.setxattr(self.open_file, ATTRIBUTE, secret.encode())
        folder.chmod(0o711)
        self._before = self._look()

    def harm(self) -> str | None:
        """What was done to it."""
        after = self._look()
        return None if after == self._before else f"files were changed: {after ^ self._before}"

    def _look(self) -> set[tuple[object, ...]]:
        found: set[tuple[object, ...]] = set()
        for path in (self.folder, *self.folder.rglob("*")):
            state = path.lstat()
            content = path.read_bytes() if path == self.file and path.exists() else b""
            marks = tuple(os.listxattr(path))
            found.add((str(path), state.st_mode, state.st_mtime_ns, state.st_nlink, content, marks))
        return found


class SocketCanary:
    """Sockets that anybody could connect to, were it not for confinement."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "socket")
        self.abstract = f"\0canary-{secrets.token_hex(8)}"
        self._sockets: list[socket.socket] = []
        for address in (self.path, self.abstract):
            self._listen(socket.socket(socket.AF_UNIX), address)
        datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        datagrams.bind(f"{self.path}-datagrams")
        self._sockets.append(datagrams)
        self._listen(socket.socket(socket.AF_INET), ("127.0.0.1", 0))
        self.port = int(self._sockets[-1].getsockname()[1])
        for one in self._sockets:
            one.setblocking(False)
        for path in folder.iterdir():
            path.chmod(0o777)

    def harm(self) -> str | None:
        """Who came through."""
        for one in self._sockets:
            try:
                came = one.recv(99) if one.type == socket.SOCK_DGRAM else one.accept()
            except BlockingIOError:
                continue
            return f"{one.getsockname()!r} was reached: {came!r}"
        return None

    def close(self) -> None:
        """Close them."""
        for one in self._sockets:
            one.close()

    def _listen(self, one: socket.socket, address: object) -> None:
        one.bind(address)  # type: ignore[arg-type]  # of any family
        one.listen()
        self._sockets.append(one)


class Canaries:
    """All of them, and the places that nobody guards."""

    def __init__(self, stack: ExitStack) -> None:
        self.secret = f"canary-secret-{secrets.token_hex(16)}"
        guarded = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="canary-f-")))
        public = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="canary-s-")))
        public.chmod(0o755)
        self.files = FileCanary(guarded, self.secret)
        self.sockets = SocketCanary(public)
        stack.callback(self.sockets.close)
        self.process = ProcessCanary(self.secret)
        stack.callback(self.process.close)
        self._own_state = ProcessState.of(os.getpid())
        self._shared = _shared_objects()

    def targets(self) -> dict[str, object]:
        """What cells are told, so that they need not search."""
        return {
            "folder": str(self.files.folder),
            "file": str(self.files.file),
            "open_file": str(self.files.open_file),
            "attribute": ATTRIBUTE,
            "socket": self.sockets.path,
            "abstract": self.sockets.abstract,
            "port": self.sockets.port,
            "canary": self.process.pid,
            "address": self.process.address,
            "pool": os.getpid(),
        }

    def harm(self) -> list[str]:
        """All that was done; empty when nothing was."""
        found = [self.process.harm(), self.files.harm(), self.sockets.harm()]
        if ProcessState.of(os.getpid()) != self._own_state:
            found.append("the pool's own process was changed")
        if _shared_objects() != self._shared:
            found.append(f"System V objects: {_shared_objects() ^ self._shared}")
        found += [
            f"left behind: {path}" for place in _COMMON for path in place.glob("hostile-row*")
        ]
        return [harm for harm in found if harm]


@contextmanager
def canaries() -> Iterator[Canaries]:
    """Set them up, and take them down."""
    with ExitStack() as stack:
        yield Canaries(stack)


def _shared_objects() -> set[str]:
    return {
        f"{kind} {line.split()[1]}"
        for kind in ("shm", "sem", "msg")
        for line in Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]
    }
