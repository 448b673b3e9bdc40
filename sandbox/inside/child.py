"""A forked process on its way from the template to a kernel.

The order matters: first out of the template's session and descriptors, then confined, and only then
to the code that opens sockets and starts threads; last it loses the right to open sockets.
"""

import fcntl
import os
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from sandbox.inside.confinement import ConfinementPlan, confine_early, confine_late
from sandbox.inside.serving import ServingOptions, serve

#: Where a kernel has the pipe that says ready, behind its standard streams.
_READY_DESCRIPTOR = 3

#: Short of memory, the system ends kernels before the template and the pool (proc(5)).
_OUT_OF_MEMORY_SCORE = "900"


def run_kernel(
    template: int, kernel: dict[str, Any], descriptors: list[int], module: ModuleType
) -> None:
    """Become a kernel; returns when it is shut down.

    Args:
        template: the parent's id.
        kernel: `sandbox.forked.KernelRequest`, as a dictionary.
        descriptors: of the ready pipe and the start log.
        module: its names are what cells start with.
    """
    os.setsid()
    ready, start_log = descriptors
    _lay_out_descriptors(ready, start_log)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with suppress(OSError):  # a /proc that cannot be written: then all are equal
        Path("/proc/self/oom_score_adj").write_text(_OUT_OF_MEMORY_SCORE, encoding="ascii")
    os.environ.clear()
    os.environ.update(kernel["environment"])
    plan = ConfinementPlan.from_json(kernel["plan"])
    confine_early(plan, template)
    options = ServingOptions(
        directory=Path(kernel["directory"]),
        connection_file=kernel["connection_file"],
        max_output_chars=kernel["max_output_chars"],
        ready_descriptor=_READY_DESCRIPTOR,
        user_module=module,
        heartbeat=kernel["heartbeat"],
    )
    serve(options, seal=partial(confine_late, plan))


def _lay_out_descriptors(ready: int, start_log: int) -> None:
    """Keep nothing of the template's: the standard streams, the ready pipe, and no other."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    # First out of the way: each may have a number that another one is to get.
    sources = [
        fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _READY_DESCRIPTOR + 1)
        for descriptor in (null, null, start_log, ready)
    ]
    for number, descriptor in enumerate(sources):
        os.dup2(descriptor, number, inheritable=number < _READY_DESCRIPTOR)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - one of them is the listing's own
        if int(name) > _READY_DESCRIPTOR:
            _close(int(name))


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        return
