"""What is told on a notebook's output, which may be gone: nothing may end for want of a reader.

Standard library alone.
"""

import logging
import sys
from contextlib import suppress

_log = logging.getLogger("kaggle_notebook")


def say(text: str) -> None:
    """Write to the standard output, if there is one. Never raises an Exception."""
    with suppress(Exception):
        sys.stdout.write(text)


def warn(text: str) -> None:
    """Log a warning. Never raises an Exception: on a closed stream loggers themselves do."""
    with suppress(Exception):
        _log.warning("%s", text)
