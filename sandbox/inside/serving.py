"""Becoming a kernel: what a forked and a cold-started process have in common.

Everything heavy is imported by then (forked) or imported here under the limits (cold start).
"""

import gc
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from sandbox.inside.application import CellApplication, make_application
from sandbox.inside.capture import CellCapture
from sandbox.inside.programs.sitecustomize import drop_closed_folders


@dataclass(frozen=True, slots=True)
class ServingOptions:
    """What a kernel needs to know to serve its pool."""

    directory: Path
    connection_file: str
    max_output_chars: int
    #: Where the word "ready" goes when the sockets are bound.
    ready_descriptor: int
    #: The module whose names the cells start with; a new one when None.
    user_module: ModuleType | None = None
    #: Answer Jupyter's heartbeats; the pool watches the process instead.
    heartbeat: bool = False


def serve(options: ServingOptions, seal: Callable[[], None] | None = None) -> None:
    """Bind the sockets, call `seal`, say ready and run cells until the kernel is shut down.

    `seal` takes away what is needed no more: it runs when all threads and sockets are there.

    A failed start is written to standard error, and ends the process with exit code 1.
    """
    start_log = sys.stderr
    # A collection reads, and so maps, far more memory than a kernel's start touches otherwise.
    gc.disable()
    try:
        application = _application(options)
        if seal is not None:
            seal()
    except BaseException:  # noqa: BLE001 - reported, and the process ends
        _fail(start_log)
    gc.enable()
    os.write(options.ready_descriptor, b"ready")
    os.close(options.ready_descriptor)
    application.start()  # type: ignore[no-untyped-call]


def _application(options: ServingOptions) -> CellApplication:
    drop_closed_folders()
    sys.argv = ["kernel"]  # cells that parse arguments see none
    sys.set_int_max_str_digits(0)  # the 4,300-digit bound was 5 % of recorded errors
    capture = CellCapture(options.directory, options.max_output_chars)
    return make_application(
        options.connection_file,
        capture,
        user_module=options.user_module,
        heartbeat=options.heartbeat,
    )


def _fail(start_log: object) -> NoReturn:
    # By now sys.stderr may be the capture, which drops what comes outside cells.
    traceback.print_exc(file=start_log)  # type: ignore[arg-type]  # whatever stderr was
    start_log.flush()  # type: ignore[attr-defined]
    os._exit(1)
