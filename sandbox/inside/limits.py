"""Resource limits of a kernel's process, inherited by all that it starts."""

import resource
import sys

#: A kernel has about 30 descriptors open; a pool of workers needs a few for each.
_OPEN_FILES = 1024


def limit_resources(
    memory_bytes: int, file_bytes: int, processes: int | None, brand: int | None
) -> None:
    """Set hard limits; an existing lower one stays.

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
