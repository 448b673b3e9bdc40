"""Shell commands of cells (`!ls`, `%pip`), by a pipe: confined kernels have no terminals.

And those of `os.system`, which an interrupt would not reach: C's function ignores it, and waits.
"""

import codecs
import os
import signal
import subprocess
import sys
from contextlib import suppress
from os import PathLike

_SHELL = "/bin/sh"
_PIECE_BYTES = 65_536


def run_command(command: str) -> int:
    """Run a command in a shell, print what it prints as it comes, return its exit code.

    The code of one that a signal ended is that signal's number, negative. When the cell is
    interrupted, the command ends with all that it has started.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    with subprocess.Popen(
        [_SHELL, "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        output = process.stdout
        assert output is not None  # noqa: S101 - a pipe was asked for
        try:
            while piece := os.read(output.fileno(), _PIECE_BYTES):
                sys.stdout.write(decoder.decode(piece))
                sys.stdout.flush()
            sys.stdout.write(decoder.decode(b"", final=True))
            process.wait()  # it may have closed its output long before its end
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    # The shell says 128 and more of a signal that ended what it ran.
    return process.returncode if process.returncode <= 128 else 128 - process.returncode


def run_in_shell(command: str | bytes | PathLike[str] | PathLike[bytes]) -> int:
    """Execute the command in a subshell.

    In place of `os.system`: returns the command's status as `os.wait` has it. An interrupt ends the
    command, and the cell.
    """
    # As C's function has it: no descriptors are closed, and no signal is given its old meaning.
    with subprocess.Popen(
        [_SHELL, "-c", os.fsencode(command)], close_fds=False, restore_signals=False
    ) as process:
        try:
            code = process.wait()
        except BaseException:
            process.kill()
            raise
    return -code if code < 0 else code << 8
