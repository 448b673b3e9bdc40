"""What attacks must leave alone: files, sockets and processes, made as tempting as they can be."""

import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.directory import KernelDirectory
from sandbox.inside.mounts import SHARED_MEMORY

#: An attribute of a file that whoever may write the file may remove.
ATTRIBUTE = "user.quorum"

_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Canaries:
    """Targets for the attack program."""

    #: Drawn at random, in the names of all that it makes.
    name: str
    #: A file to delete.
    victim: Path
    #: A file that all may write to, with an attribute where the file system has such.
    marked: Path
    #: Files to read.
    secrets: list[str]
    #: Files to make.
    forbidden: list[str]
    #: Addresses to connect to; abstract ones begin with "@".
    sockets: list[str]
    #: Processes to signal and to look into.
    processes: list[int] = field(default_factory=lambda: [os.getpid()])

    def harmed(self) -> str | None:
        """What has happened to them, in words; clears it away."""
        written = [path for path in self.forbidden if Path(path).exists()]
        for path in written:
            with suppress(OSError):
                Path(path).unlink()
        if written:
            return f"writing {written[0]}"
        return None if self.victim.exists() else f"deleting {self.victim}"


@contextmanager
def canaries(directory: KernelDirectory) -> Iterator[Canaries]:
    """Set them up in a folder of the pool's, which others may enter, but not read."""
    name = f"quorum-{secrets.token_hex(8)}"
    secret, victim = directory.path / "secret", directory.home / "victim"
    for path in (secret, victim):
        path.write_text("canary", encoding="ascii")
        path.chmod(0o600)
    marked = directory.path / "marked"
    marked.touch()
    marked.chmod(0o666)
    with suppress(OSError):
        os.setxattr(marked, ATTRIBUTE, b"canary")
    directory.path.parent.chmod(0o711)
    directory.path.chmod(0o711)
    listening = {
        str(directory.path / "s"): socket.SOCK_STREAM,
        str(directory.path / "d"): socket.SOCK_DGRAM,
        f"@{name}": socket.SOCK_STREAM,
        f"@{name}-d": socket.SOCK_DGRAM,
    }
    with ExitStack() as stack:
        for address, kind in listening.items():
            stack.enter_context(_open_to_all(address, kind))
        forbidden = _forbidden(name, directory)
        yield Canaries(name, victim, marked, [str(secret)], forbidden, list(listening))


def _forbidden(name: str, directory: KernelDirectory) -> list[str]:
    folders = (
        tempfile.gettempdir(), "/tmp", "/var/tmp", SHARED_MEMORY, Path.home(), _PACKAGE,  # noqa: S108 - places that everybody may write to
        directory.path, Path.cwd(),
    )  # fmt: skip
    return list(dict.fromkeys(str(Path(folder, name)) for folder in folders))


@contextmanager
def _open_to_all(address: str, kind: socket.SocketKind) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX, kind) as listener:
        listener.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        if not address.startswith("@"):
            Path(address).chmod(0o666)
        if kind is socket.SOCK_STREAM:
            listener.listen()
        yield
