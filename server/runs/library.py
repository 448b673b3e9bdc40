"""The recorded paths that a budget begins with, read from the file that the settings name."""

from pathlib import Path

import orjson

from server.regular import regular
from server.runs.errors import LibraryUnreadable
from voting.errors import VotingError
from voting.library import RecordedPaths, read_paths
from voting.paths import RatedPath

#: A library of the most paths, with 256 votes each, takes less.
MAX_BYTES = 64 * 2**20


def read_library(file: Path) -> RecordedPaths:
    """Read what `quorum replay --library` wrote.

    Raises:
        LibraryUnreadable: the file cannot be read, or is none.
    """
    try:
        if regular(file).stat().st_size > MAX_BYTES:
            raise LibraryUnreadable(
                f"runs.library {file}: must be at most {MAX_BYTES} bytes; write one of fewer paths"
            )
        return read_paths(orjson.loads(file.read_bytes()))
    except OSError as error:
        raise LibraryUnreadable(
            f"runs.library {file}: cannot be read ({error.strerror or error}); name a file that "
            "`quorum replay --library` wrote, or none"
        ) from error
    except VotingError as error:
        raise LibraryUnreadable(f"runs.library {file}: {error}") from error
    except ValueError as error:
        raise LibraryUnreadable(
            f"runs.library {file}: no JSON ({error}): must be one that `quorum replay --library` "
            "wrote; write it again"
        ) from error


def known_paths(setting: str) -> tuple[RatedPath, ...]:
    """Return the paths of `runs.library`; none where it names no file. Errors as above."""
    return () if setting == "none" else read_library(Path(setting).expanduser()).paths
