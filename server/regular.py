"""Files that settings name: reading a pipe or a device could wait for ever, in a thread too."""

import errno
import os
import stat
from pathlib import Path


def require_regular(status: os.stat_result) -> None:
    """See that a file is one with a content of its own.

    Raises:
        OSError: it is a pipe, a device, a socket or a folder.
    """
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "must be a regular file")


def regular(path: Path) -> Path:
    """Return the path of a file that can be read to its end. Errors as above, and of `stat`."""
    require_regular(path.stat())
    return path
