"""Datasets of the Hugging Face hub, through huggingface_hub's own cached download.

Address, token and offline switch are that package's (`HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`,
`HF_HOME`).
"""

import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from server.evaluation.catalogue import SetSource
from server.evaluation.errors import SetGone
from server.evaluation.rows import Row, read_rows

#: Seconds for a question to the hub.
HUB_S = 20


def hub_rows(name: str, source: SetSource) -> Iterator[Row]:
    """Yield the rows of a set's files, fetched where they are not in the hub's cache.

    Raises:
        SetGone: they can neither be fetched nor found.
        SetUnreadable: a file is damaged.
    """
    folder = _fetched(name, source)
    paths = sorted(path for path in folder.rglob("*") if _is_of(path, folder, source))
    if not paths:
        raise SetGone(
            f"problem set {name!r}: {source.repo} has no file {' or '.join(source.files)} any "
            "more: its layout has changed; give a copy with --data FILE"
        )
    tests = [path for path in paths if "test" in path.name]
    for path in tests or paths:
        yield from read_rows(path)


def _is_of(path: Path, folder: Path, source: SetSource) -> bool:
    relative = path.relative_to(folder).as_posix()
    return path.is_file() and any(fnmatch(relative, pattern) for pattern in source.files)


def _fetched(name: str, source: SetSource) -> Path:
    """Return the folder of a whole download; half of one is never taken for it."""
    try:
        from huggingface_hub import errors, snapshot_download  # noqa: PLC0415
    except ImportError:
        raise SetGone(
            f"problem set {name!r}: needs huggingface_hub, which is not installed: install the "
            'extra, as in `pip install "quorum-aimo[eval]"`, or give a copy with --data FILE'
        ) from None
    try:
        return Path(
            snapshot_download(
                source.repo,
                repo_type="dataset",
                allow_patterns=list(source.files),
                etag_timeout=HUB_S,
                endpoint=os.environ.get("HF_ENDPOINT"),
            )
        )
    except (errors.GatedRepoError, errors.RepositoryNotFoundError) as error:
        raise SetGone(
            f"problem set {name!r}: the hub has no dataset {source.repo} for you "
            f"({type(error).__name__}): log in with `hf auth login` if it is gated, or give a copy "
            "with --data FILE"
        ) from error
    # Its transport is requests, httpx or another, by its version: each has errors of its own.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise SetGone(
            f"problem set {name!r}: {source.repo} can neither be fetched nor found in the cache "
            f"({type(error).__name__}: {reason}); run the command once where the hub can be "
            "reached, set HF_ENDPOINT to a mirror, or give a copy with --data FILE"
        ) from error
