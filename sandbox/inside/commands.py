"""Shell commands of cells (`!ls`, `%pip`), by a pipe: confined kernels have no terminals."""

import codecs
import os
import signal
import subprocess
import sys
from contextlib import suppress

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
