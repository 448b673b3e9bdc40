"""Removing what cells leave behind: trees of any depth, shape and permissions.

What is removed may have been made by hostile code that still runs, perhaps for a user of more
rights. So every step goes by descriptors and names in them, and follows no symbolic link.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: Path) -> None:
    """Remove a folder or file with all that is in it, as far as it can be removed."""
    with suppress(OSError), open_folder(path.parent) as parent:
        remove_entry(path.name, parent)


def remove_entry(name: str, folder: int) -> None:
    """Remove one entry of an open folder, as far as it can be removed."""
    with suppress(OSError):  # a folder
        os.unlink(name, dir_fd=folder)
        return
    try:
        shutil.rmtree(name, dir_fd=folder)
    except (OSError, RecursionError):
        # A cell can take the permissions of its folders away, nest them deeper than Python calls
        # may be, or have left a process that still writes.
        _remove_flattened(name, folder)


@contextmanager
def open_folder(path: Path | str, within: int | None = None) -> Iterator[int]:
    """Give a descriptor of a folder; raises `OSError`, also where it is a symbolic link."""
    descriptor = os.open(path, _FOLDER, dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _remove_flattened(name: str, top: int) -> None:
    """Remove a tree of any depth: each folder is moved up to the top before it is emptied."""
    folders = [name]
    names = (f"{name}-{number}" for number in count(1))
    while folders:
        folder = folders.pop()
        with suppress(OSError):
            _permit(folder, top)
            with open_folder(folder, top) as opened:
                for entry in list(os.scandir(opened)):
                    _unlink_or_move(entry, opened, top, folders, names)
            os.rmdir(folder, dir_fd=top)


def _unlink_or_move(
    entry: "os.DirEntry[str]", folder: int, top: int, folders: list[str], names: Iterator[str]
) -> None:
    with suppress(OSError):
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.name, dir_fd=folder)
            return
        # To be moved, a folder must be writable itself: its `..` changes.
        _permit(entry.name, folder)
        moved = next(names)
        os.rename(entry.name, moved, src_dir_fd=folder, dst_dir_fd=top)
        folders.append(moved)


def _permit(name: str, folder: int) -> None:
    """Give the owner all rights to a folder in another one."""
    if os.chmod in os.supports_follow_symlinks:
        os.chmod(name, stat.S_IRWXU, dir_fd=folder, follow_symlinks=False)
        return
    # Linux has no chmod that follows no link, but can open what may not be read.
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=folder)
    try:
        Path(f"/proc/self/fd/{descriptor}").chmod(stat.S_IRWXU)
    finally:
        os.close(descriptor)
