"""What training made, checked and given to `quorum kaggle`, which publishes it."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from training.corpus.store import ENTRIES, PROMPTS
from training.corpus.store import ORIGIN as CORPUS
from training.errors import BadFile, OutputFailed, reading
from training.files import sha256
from training.merge.adapter import CONFIG, WEIGHTS
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
        open_tensors(folder / WEIGHTS)
        return Output(folder, "model", f"LoRA adapter, sha256 {sha256(folder / WEIGHTS)[:16]}")
    if (folder / CORPUS).is_file():
        figures = _json(folder / CORPUS).get("figures", {})
        for name in (ENTRIES, PROMPTS):
            if not (folder / name).is_file():
                raise BadFile(f"{folder}: {name} is missing; make the corpus again")
        return Output(folder, "dataset", f"corpus of {figures.get('entries')} entries")
    raise BadFile(
        f"{folder}: holds no merged model ({REPORT}), adapter ({CONFIG}) or corpus ({CORPUS}); "
        "name the folder that a command of quorum train wrote"
    )


def _merged(folder: Path) -> str:
    told = _json(folder / REPORT)
    for name, digest in told["files"].items():
        path = folder / name
        if not path.is_file() or sha256(path) != digest:
            raise BadFile(f"{path}: is not what was merged; merge again")
    inputs = {each["name"]: each["sha256"] for each in told["inputs"]}
    return f"{told['base']['folder']} with the LoRA of sha256 {inputs[WEIGHTS][:16]}"


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
