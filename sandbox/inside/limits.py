"""Resource limits of a kernel's process, inherited by all that it starts."""

import resource
import sys

#: Of the main thread. A call of a cached function takes half a kilobyte of it: with the usual 8 MiB
#: a recursion of 20,000 such calls ends the process. Linux leaves room for 128 MiB.
_STACK_BYTES = 64 << 20

#: A kernel has about 30 descriptors open; a pool of workers needs a few for each.
_OPEN_FILES = 1024


def limit_resources(
    memory_bytes: int, file_bytes: int, processes: int | None, brand: int | None
) -> None:
    """Set hard limits, an existing lower one stays; and let the stack grow.

    Args:
        memory_bytes: address space of each process.
        file_bytes: size of a file that is written.
        processes: processes and threads of the user, all together.
        brand: a number that marks this process and its descendants in /proc/PID/limits. It is set
            as a limit on real-time scheduling, which needs privileges that kernels do not have.
    """
    limits = {
        resource.RLIMIT_AS: memory_bytes,
        resource.RLIMIT_FSIZE: file_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
    }
    if processes is not None:
        limits[resource.RLIMIT_NPROC] = processes
    if brand is not None and sys.platform == "linux":
        limits[resource.RLIMIT_RTTIME] = brand
    for kind, wanted in limits.items():
        _, most = resource.getrlimit(kind)
        value = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(kind, (value, value))
    if sys.platform == "linux":
        _raise_soft_limit(resource.RLIMIT_STACK, _STACK_BYTES)


def _raise_soft_limit(kind: int, wanted: int) -> None:
    soft, hard = resource.getrlimit(kind)
    value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < value:
        resource.setrlimit(kind, (value, hard))
