"""SGLang, or its router, as a process of its own, run by path where the package is installed.

Needs nothing but the standard library, since that interpreter may have none of ours. The parent
writes one line of JSON to standard input (a `sglang_package.Package` and arguments), so
that the key is on no command line, and keeps the pipe open; its end is the end of this process and
of all that it started: a second process waits for it, since this one dies with its parent, and
could end nobody any more. Before anything is loaded, the version and the arguments are checked by
the installed package; a refusal is the last line of standard error, with exit status `REFUSED`.
"""

import argparse
import ctypes
import importlib
import io
import json
import os
import re
import runpy
import signal
import sys
from contextlib import redirect_stderr
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

#: EX_CONFIG of <sysexits.h>; SGLang itself ends with 0, 1 or by a signal.
REFUSED = 78
#: <linux/prctl.h>
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until standard input ends or the server does."""
    if sys.platform == "linux":
        # At once, and also where the watcher is gone.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    config = json.loads(sys.stdin.buffer.readline())
    # Before anything is imported that has threads, or much memory.
    _fork_watcher()
    # Nobody reads standard output; a full pipe would stop the server.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # This file's folder has modules that are named as packages that SGLang imports.
    folder = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - no pathlib needed
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != folder]  # noqa: PTH100
    check(config)
    # Log-probabilities before temperature, as other engines give them.
    os.environ["SGLANG_RETURN_ORIGINAL_LOGPROB"] = "1"
    sys.argv = [config["launch"], *config["arguments"]]
    # As __main__, so that SGLang's own processes find it as if it had been started by `python -m`.
    runpy.run_module(config["launch"], run_name="__main__", alter_sys=True)


def check(config: dict[str, Any]) -> None:
    """Exit with `REFUSED` where the installed package is not to be had, too old or too new."""
    name = config["name"]
    try:
        installed = version(config["distribution"])
    except PackageNotFoundError:
        _refuse(f"{name} is not installed for {sys.executable}: {config['remedy']}")
    numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", installed)
    oldest, before = config["oldest"], config["before"]
    if numbers is None or not oldest <= [int(n) for n in numbers.groups()] < before:
        dotted = [".".join(map(str, bound)) for bound in (oldest, before)]
        _refuse(f"{name} {installed}: must be at least {dotted[0]} and before {dotted[1]}")
    try:
        problem = problem_of(config["arguments_class"], config["arguments"])
    except ImportError as error:
        _refuse(f"{name} {installed} cannot be imported ({error}); install it with all it needs")
    if problem:
        _refuse(f"{name} {installed}: {problem}; correct {config['setting']}")


def problem_of(arguments_class: str, arguments: list[str]) -> str:
    """Return what the installed version's own parser has against the arguments, or nothing.

    `arguments_class` is the dotted name of the class that adds the arguments to a parser.
    """
    module, _, name = arguments_class.rpartition(".")
    parser = argparse.ArgumentParser(allow_abbrev=False)
    # Takes seconds, and may fail.
    getattr(importlib.import_module(module), name).add_cli_args(parser)
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            _, unknown = parser.parse_known_args(arguments)
    except SystemExit:
        return said.getvalue().strip().splitlines()[-1].partition("error: ")[2]
    return f"no such argument: {' '.join(unknown)}" if unknown else ""


def _refuse(sentence: str) -> NoReturn:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()
    os._exit(REFUSED)


def _fork_watcher() -> None:
    """Leave standard input to a process in this session that ends the session with it."""
    if os.fork() == 0:
        _end_with_input()
    # Neither this process nor those that it starts read it, or keep it open.
    _discard(0)


def _end_with_input() -> NoReturn:
    try:
        # The last words of a process are over when nobody has these open any more.
        _discard(1, 2)
        while os.read(0, 4096):
            pass
    finally:
        # The other process leads a session of its own, in which SGLang's processes are.
        os.killpg(0, signal.SIGKILL)
        os._exit(0)


def _discard(*descriptors: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nothing, descriptor)
    os.close(nothing)


if __name__ == "__main__":
    main()
