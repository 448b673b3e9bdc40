"""First code of a kernel's process: ties it to its parent, limits it, and becomes the kernel.

Run by its path, with the options (`sandbox.cold.LaunchOptions`) as one argument of JSON. They hold
no secret: the message key is in the connection file.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

# From <linux/prctl.h>.
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def tie_to_parent(parent: int) -> None:
    """Have the kernel (Linux) kill this process when `parent` ends, and keep orphans below us.

    The death signal belongs to the parent's thread that spawned us: the pool spawns from its event
    loop's. Orphaned grandchildren come to us, so that the pool finds them by descent.
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_PDEATHSIG, signal.SIGKILL), (_PR_SET_CHILD_SUBREAPER, 1)):
        if library.prctl(option, int(value), 0, 0, 0) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"prctl({option}): {os.strerror(code)}")
    if os.getppid() != parent:
        # It ended before the death signal was set.
        os._exit(1)


def limit_resources(memory_bytes: int, file_bytes: int) -> None:
    """Set hard limits on address space and file size, in bytes, and allow no core dumps."""
    limits = (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
    )
    for kind, wanted in limits:
        _, most = resource.getrlimit(kind)
        value = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(kind, (value, value))


def run(options: dict[str, Any]) -> None:
    """Become the kernel; returns when its loop ends."""
    # debugpy costs 130 ms and threads; ipykernel does without where it cannot be imported.
    sys.modules["debugpy"] = None  # type: ignore[assignment]
    root = str(Path(__file__).resolve().parent.parent.parent)
    sys.path.insert(0, root)
    from sandbox.inside.capture import CellCapture  # noqa: PLC0415 - after the limits are set
    from sandbox.inside.kernel import make_application  # noqa: PLC0415

    sys.path.remove(root)
    sys.argv = ["kernel"]  # cells that parse arguments see none
    sys.set_int_max_str_digits(0)  # the 4,300-digit bound was 5 % of recorded errors
    capture = CellCapture(Path(options["directory"]), options["max_output_chars"])
    start_log = sys.stderr
    try:
        application = make_application(options["connection_file"], capture)
    except BaseException:  # noqa: BLE001 - reported, and the process ends
        # By now sys.stderr may be the capture, which drops what comes outside cells.
        traceback.print_exc(file=start_log)
        start_log.flush()
        os._exit(1)
    os.write(options["ready_descriptor"], b"ready")
    os.close(options["ready_descriptor"])
    application.start()  # type: ignore[no-untyped-call]


def main() -> None:
    """Read the options and run."""
    options = json.loads(sys.argv[1])
    tie_to_parent(options["parent"])
    limit_resources(options["memory_limit_bytes"], options["file_limit_bytes"])
    run(options)


if __name__ == "__main__":
    main()
