"""What a template does once, so that no kernel has to: imports, the start-up code, a dry run.

A process can be forked safely only while it has one thread and holds nothing that works by thread:
no ZMQ context, no event loop, no thread pool of a numerical library. That is checked at the end.
"""

import builtins
import gc
import importlib
import json
import linecache
import os
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from jupyter_client.connect import write_connection_file

from sandbox.inside.application import make_ahead, make_application
from sandbox.inside.capture import CellCapture
from sandbox.inside.confinement import prepare_filters
from sandbox.inside.identity import tie_to_parent

_STARTUP_FILE = "<start-up code>"

#: What IPython says of the module that it makes.
_MAIN_DOC = "Automatically created module for IPython interactive environment"

#: Cells that reach what a kernel imports only when it is needed: errors, displays, magics, help.
_DRY_RUN_CELLS = (
    "1 + 1",
    "display('x')",
    "1 / 0",
    "1 +",
    "import warnings; warnings.warn('x')",
    "%who",
)


class PreparationError(Exception):
    """There can be no template.

    `kind` is "import", "startup", "dry run" or "threads"; `subject` names the module or threads.
    """

    def __init__(self, kind: str, subject: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.subject = subject


@dataclass(frozen=True, slots=True)
class Prepared:
    """What kernels are forked with."""

    #: Its names are what cells start with.
    module: ModuleType
    #: How long each import took, in seconds, in order; those before it not included.
    import_seconds: dict[str, float]


def prepare(options: dict[str, Any]) -> Prepared:
    """Import, run the start-up code, warm up and freeze.

    Raises:
        PreparationError: something cannot be imported, the start-up code or the dry run fails, or
            threads remain.
    """
    import_seconds = _import_all(options["preload"], options["preload_if_installed"])
    module = _run_startup(options["startup_code"])
    _warm_up(Path(options["directory"]))
    make_ahead(module)
    # Where the system has no such filters, the kernels say so.
    with suppress(OSError):
        prepare_filters()
    threads = os.listdir("/proc/self/task")  # noqa: PTH208 - names are wanted
    if len(threads) != 1:
        names = ", ".join(sorted(_thread_names(threads)))
        raise PreparationError(
            "threads", names, f"{len(threads)} threads ({names}) after the imports: must be one"
        )
    # Objects of before never move again, nor are they looked at: kernels share their pages.
    gc.collect()
    gc.freeze()
    return Prepared(module, import_seconds)


def _import_all(required: Iterable[str], if_installed: Iterable[str]) -> dict[str, float]:
    seconds = {}
    optional = tuple(if_installed)
    for name in (*required, *optional):
        begin = time.perf_counter()
        try:
            importlib.import_module(name)
        except BaseException as error:
            if name in optional and _is_absent(name, error):
                continue
            raise PreparationError("import", name, _described(error)) from error
        seconds[name] = time.perf_counter() - begin
    return seconds


def _is_absent(name: str, error: BaseException) -> bool:
    """Whether the module, or a package that it is in, is not installed."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return False
    return f"{name}.".startswith(f"{error.name}.")


def _run_startup(source: str) -> ModuleType:
    module = ModuleType("__main__", _MAIN_DOC)
    # As in any main program; exec alone would bind the module's dictionary.
    vars(module)["__builtins__"] = builtins
    lines = source.splitlines(keepends=True)
    # So that a traceback in a cell can show lines of it.
    linecache.cache[_STARTUP_FILE] = (len(source), None, lines, _STARTUP_FILE)
    try:
        exec(compile(source, _STARTUP_FILE, "exec"), vars(module))  # noqa: S102 - the operator's
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        numbers = [frame.lineno for frame in frames if frame.filename == _STARTUP_FILE]
        place = f"line {numbers[0]}: " if numbers else ""
        raise PreparationError("startup", "", f"{place}{_described(error)}") from error
    return module


def _warm_up(directory: Path) -> None:
    """Import what a kernel imports late, as found out by a kernel in a throw-away child."""
    reader, writer = os.pipe()
    template = os.getpid()
    child = os.fork()
    if child == 0:
        tie_to_parent(template)
        _in_child(lambda: os.write(writer, json.dumps(_dry_run(directory)).encode()))
    os.close(writer)
    with open(reader, "rb") as answer:  # noqa: PTH123 - a descriptor, not a path
        found = answer.read()
    _, status = os.waitpid(child, 0)
    if status:
        code = os.waitstatus_to_exitcode(status)
        raise PreparationError("dry run", "", f"a kernel in a dry run ended with code {code}")
    for name in json.loads(found):
        # What only works in a kernel stays for the kernels.
        with suppress(Exception):
            importlib.import_module(name)


def _dry_run(directory: Path) -> list[str]:
    """The modules that come with a kernel and its first cells."""
    before = set(sys.modules)
    connection_file = directory / "connection.json"
    key = secrets.token_hex(32).encode()
    write_connection_file(
        str(connection_file), transport="ipc", ip=str(directory / "c"), key=key,
        shell_port=1, iopub_port=2, stdin_port=3, control_port=4, hb_port=5,
    )  # fmt: skip
    capture = CellCapture(directory, limit=1_000)
    application = make_application(str(connection_file), capture)
    for code in _DRY_RUN_CELLS:
        capture.begin()
        application.kernel.shell.run_cell(code)
        capture.end()
    return sorted(set(sys.modules) - before)


def _in_child(function: Callable[[], object]) -> None:
    """Call it and end this process, whatever happens."""
    try:
        function()
        os._exit(0)
    except BaseException:  # noqa: BLE001 - reported, and the process ends
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(1)


def _thread_names(threads: Iterable[str]) -> Iterable[str]:
    for thread in threads:
        with suppress(OSError):
            yield Path(f"/proc/self/task/{thread}/comm").read_text(encoding="utf-8").strip()


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
