"""What training made, checked and given to `quorum kaggle`, which publishes it."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from training.corpus.store import ORIGIN as CORPUS
from training.errors import BadFile, OutputFailed, reading
from training.files import sha256
from training.merge.adapter import CONFIG, WEIGHTS
from training.merge.base import SETTINGS
from training.merge.merge import REPORT
from training.merge.tensor_file import open_tensors


@dataclass(frozen=True, slots=True)
class Output:
    """A folder that may be published, as a `model` or a `dataset`; `notes` say where it is from."""

    folder: Path
    kind: str
    notes: str


def inspect(folder: Path) -> Output:
    """Return what a folder holds; every file of it is checked to be whole.

    Raises:
        BadFile: it is neither a merged model, nor an adapter, nor a corpus, or it is damaged.
    """
    if (folder / REPORT).is_file():
        return Output(folder, "model", _merged(folder))
    if (folder / CONFIG).is_file():
        _json(folder / CONFIG)
        open_tensors(folder / WEIGHTS)
        return Output(folder, "model", f"LoRA adapter, sha256 {sha256(folder / WEIGHTS)[:16]}")
    if (folder / CORPUS).is_file():
        return Output(folder, "dataset", _corpus(folder))
    raise BadFile(
        f"{folder}: holds no merged model ({REPORT}), adapter ({CONFIG}) or corpus ({CORPUS}); "
        "name the folder that a command of quorum train wrote"
    )


def _merged(folder: Path) -> str:
    told = _json(folder / REPORT)
    _check_files(folder, told, REPORT)
    _json(folder / SETTINGS)
    with _as_written(folder / REPORT):
        inputs = {each["name"]: each["sha256"] for each in told["inputs"]}
        return f"{told['base']['folder']} with the LoRA of sha256 {inputs[WEIGHTS][:16]}"


def _corpus(folder: Path) -> str:
    told = _json(folder / CORPUS)
    _check_files(folder, told, CORPUS)
    with _as_written(folder / CORPUS):
        return f"corpus of {told['figures']['entries']} entries"


def _check_files(folder: Path, told: dict[str, Any], record: str) -> None:
    """Raise `BadFile` unless all files are there that a record names, with their hashes."""
    files = told.get("files")
    if not isinstance(files, dict) or not files:
        raise BadFile(f"{folder / record}: names no files, must name all; make the output again")
    for name, digest in files.items():
        path = folder / name
        with reading(path):
            if not path.is_file() or sha256(path) != digest:
                raise BadFile(f"{path}: is not what was written; make the output again")


@contextmanager
def _as_written(record: Path) -> Iterator[None]:
    """Raise `BadFile` in place of what comes of a record that lacks something."""
    try:
        yield
    except (KeyError, TypeError) as error:
        raise BadFile(f"{record}: is damaged ({error}); make the output again") from None


def _json(path: Path) -> dict[str, Any]:
    with reading(path):
        content = path.read_bytes()
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise BadFile(f"{path}: not JSON ({error}); make the output again") from None
    if not isinstance(value, dict):
        raise BadFile(f"{path}: must be a JSON object; make the output again")
    return value


def command(output: Output, name: str, arguments: Sequence[str]) -> list[str]:
    """Return the command that publishes an output."""
    return [
        sys.executable, "-m", "client.main", "kaggle", output.kind, str(output.folder), name,
        "--notes", output.notes, *arguments,
    ]  # fmt: skip


def upload(output: Output, name: str, arguments: Sequence[str]) -> None:
    """Publish an output.

    Raises:
        OutputFailed: the command failed; it has said why.
    """
    # a process: no package of ours may import another one for its command
    ended = subprocess.run(command(output, name, arguments), check=False)
    if ended.returncode:
        raise OutputFailed(f"{output.folder}: was not uploaded: see above; nothing here changed")
