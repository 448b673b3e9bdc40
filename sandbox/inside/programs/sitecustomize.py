"""Keeps folders off the import path that confinement closes: of a project installed editably.

Nothing can be imported from them, and programs that list every folder of the path, as pip does, end
in a PermissionError. Python runs this at its start (see `site`), then whatever other module of this
name there is; not with `-I`, `-E` or `-S`, nor where a cell gives a program another environment.
"""

import os
import sys


def drop_closed_folders() -> None:
    """Take from the import path what this process may not list."""
    sys.path[:] = [entry for entry in sys.path if not _is_closed(entry)]


def _is_closed(entry: str) -> bool:
    try:
        os.scandir(entry or ".").close()
    except PermissionError:
        return True
    except (OSError, TypeError, ValueError):
        return False  # an archive, or nothing at all: Python passes over it
    return False


def _run_next() -> None:
    own, folder = sys.modules[__name__], os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - at each program's start
    sys.path[:] = [entry for entry in sys.path if entry != folder]
    del sys.modules[__name__]
    try:
        import sitecustomize  # type: ignore[import-not-found]  # noqa: F401, PLC0415 - the next
    except ImportError as error:
        if error.name != __name__:
            raise
    finally:
        # Python looks for it when this one is done.
        sys.modules.setdefault(__name__, own)


if __name__ == "sitecustomize":
    drop_closed_folders()
    _run_next()
