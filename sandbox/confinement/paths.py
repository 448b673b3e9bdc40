"""What a kernel may read and write: its interpreter, the system's libraries, its own folder."""

import os
import sys
import sysconfig
from pathlib import Path

from sandbox.directory import KernelDirectory
from sandbox.inside.mounts import SHARED_MEMORY

#: Programs, libraries and data of the system, and what numerical libraries ask about the machine.
#: Neither /etc nor /proc as a whole: they tell about other users and processes.
_SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store",
    "/etc/alternatives", "/etc/debian_version", "/etc/fonts", "/etc/ld.so.cache",
    "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/mime.types",
    "/etc/os-release", "/etc/timezone",
    "/proc/cpuinfo", "/proc/filesystems", "/proc/loadavg", "/proc/meminfo", "/proc/self",
    "/proc/stat", "/proc/sys/kernel", "/proc/sys/vm", "/proc/uptime", "/proc/version",
    "/sys/devices/system", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu.max",
)  # fmt: skip

DEVICES = ("/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero")

_PACKAGE = Path(__file__).resolve().parent.parent


def readable_paths(python: str) -> tuple[str, ...]:
    """Where the kernels' interpreter and its packages are, and the system's libraries.

    Of what is on this process' own import path, only folders of installed packages count: the
    others can be a project's folder, with settings and data in it.
    """
    executable = Path(python)
    own = [*_SYSTEM, str(_PACKAGE), *_prefixes(executable)]
    if executable == Path(sys.executable):
        own += [sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), *_package_folders()]
    own += os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    return tuple(dict.fromkeys(path for path in own if Path(path).is_absolute() and path != "/"))


def writable_paths(directory: KernelDirectory, *, shared_memory: bool) -> tuple[str, ...]:
    """The kernel's own folder, and its own /dev/shm where it has one."""
    return (str(directory.path), *((SHARED_MEMORY,) if shared_memory else ()))


def _prefixes(executable: Path) -> list[str]:
    """The folder of an environment that an interpreter belongs to, and that of its real file."""
    return [str(path.parent.parent) for path in (executable.absolute(), executable.resolve())]


def _package_folders() -> list[str]:
    return [path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}]
