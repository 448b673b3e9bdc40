"""Outputs that are whole or not there: files and folders built aside and renamed at the end."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson

from training.errors import OutputExists, OutputFailed, writing

#: Bytes that are read at a time to be hashed or copied.
PIECE = 1 << 22


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Yield the path of a temporary file beside `target`; rename it there when the block ends well.

    Raises:
        OutputFailed: the system cannot write it, or a folder is there.
    """
    refuse_folder(target)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            sync(partial)
            partial.replace(target)
            sync(target.parent)
    finally:
        with suppress(OSError):
            partial.unlink()


def refuse_folder(target: Path) -> None:
    """Raise `OutputFailed` where a file to be written is a folder: `.` has not even a name."""
    if target.is_dir():
        raise OutputFailed(f"{target}: is a folder, must be a file; name one in it")


@contextmanager
def whole_folder(target: Path, job: dict[str, Any]) -> Iterator[Path]:
    """Yield a work folder beside `target`; rename it to that when the block ends well.

    What a job that was stopped left there is found again by the same `job`, a description that is
    compared as JSON; that of another job is refused.

    Raises:
        OutputExists: `target` is there, or its work folder is another job's or in use.
        OutputFailed: the system cannot write it.
    """
    if target.exists():
        raise OutputExists(f"{target}: is there already; remove it, or name another output")
    work = target.with_name(f".{target.name}.partial")
    with writing(target):
        work.mkdir(parents=True, exist_ok=True)
        with locked(work):
            _claim(work, job)
            yield work
            for path in work.rglob("*"):
                sync(path)
            sync(work)
            work.rename(target)
            # only now: a work folder without its job is nobody's, and would be refused
            (target / _JOB).unlink()
            (target / _LOCK).unlink()
            sync(target)
            sync(target.parent)


_JOB, _LOCK = ".job.json", ".lock"
_NEW_JOB = f"{_JOB}.partial"


@contextmanager
def locked(work: Path) -> Iterator[None]:
    """Have a folder for the length of the block; a lock ends with its process.

    Raises:
        OutputExists: another process has it.
    """
    with (work / _LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputExists(
                f"{work}: another process works on this output; wait for it, or end it"
            ) from None
        yield


def _claim(work: Path, job: dict[str, Any]) -> None:
    described = orjson.dumps(job, option=orjson.OPT_SORT_KEYS)
    path = work / _JOB
    if path.exists():
        if path.read_bytes() != described:
            raise OutputExists(
                f"{work}: is of a job with other inputs or settings that was stopped; remove it, "
                "or name another output"
            )
        return
    leftover = [each.name for each in work.iterdir() if each.name not in {_LOCK, _NEW_JOB}]
    if leftover:
        raise OutputExists(f"{work}: is not a work folder of this command; remove or rename it")
    # a description that a full disk has cut would be another job's
    (work / _NEW_JOB).write_bytes(described)
    sync(work / _NEW_JOB)
    (work / _NEW_JOB).replace(path)


def write_json(target: Path, value: object) -> None:
    """Write a value as indented JSON, whole or not at all."""
    with whole_file(target) as partial:
        partial.write_bytes(orjson.dumps(value, option=_INDENTED))


_INDENTED = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of JSON lines that is appended to; a last line cut short is left.

    A file that is not there has none.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield orjson.loads(line)


def append_line(path: Path, value: object) -> None:
    """Append an object as a line of JSON and see it on disk; a line cut short before it goes."""
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        if size and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
            _drop_cut_line(file.fileno(), path)
        file.write(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE))
        file.flush()
        os.fsync(file.fileno())


def _drop_cut_line(descriptor: int, path: Path) -> None:
    whole = path.read_bytes().rfind(b"\n") + 1
    os.ftruncate(descriptor, whole)


def sync(path: Path) -> None:
    """See a file, or a folder's entries, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's content, whole or not at all."""
    with whole_file(target) as partial:
        shutil.copyfile(source, partial)
