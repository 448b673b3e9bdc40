"""The model that is merged into: a folder of safetensors files as `transformers` writes it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from training.errors import BadBase, reading
from training.merge.tensor_file import Entry, TensorFile, open_tensors

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
SETTINGS = "config.json"
#: How the two tensors of an MXFP4 weight end.
BLOCKS, SCALES = "_blocks", "_scales"
_EMBEDDINGS = "model.embed_tokens.weight"
#: How files of weights in other formats end.
OTHER_FORMATS = frozenset({".bin", ".gguf", ".h5", ".pt", ".pth"})
#: How gpt-oss is named in a model's settings; transformers keeps other models' experts in halves.
_ALTERNATING = ("gpt_oss", "GptOss")


@dataclass(frozen=True, slots=True)
class Base:
    """A model's folder. `where` names the file of each tensor."""

    folder: Path
    config: dict[str, Any]
    files: dict[str, TensorFile]
    where: dict[str, TensorFile]

    def entry(self, tensor: str) -> Entry:
        """Return a tensor's type, shape and place."""
        return self.where[tensor].entries[tensor]

    @property
    def alternates(self) -> bool:
        """Whether rows of gate and up alternate in `gate_up_proj`: in gpt-oss alone they do."""
        kinds = [self.config.get("model_type"), *(self.config.get("architectures") or ())]
        return any(str(kind).startswith(_ALTERNATING) for kind in kinds)

    @property
    def is_tied(self) -> bool:
        """Whether the head is the embeddings; models that see have their settings one level down.

        Many do not say so where it is their architecture's default, and have no head in the file.
        """
        inner = self.config.get("text_config")
        settings = (self.config, inner if isinstance(inner, dict) else {})
        no_head = "lm_head.weight" not in self.where and _EMBEDDINGS in self.where
        return no_head or any(each.get("tie_word_embeddings") for each in settings)

    def identity(self) -> list[list[Any]]:
        """Return name, size, time of change and the header's hash of every file, for comparison."""
        return [
            [name, file.size, file.path.stat().st_mtime_ns, hashlib.sha256(file.header).hexdigest()]
            for name, file in sorted(self.files.items())
        ]


def open_base(folder: Path) -> Base:
    """Open a model's folder and check that all its files are whole.

    Raises:
        BadBase: it is not a model of this format, or files are missing.
        BadTensors: a file is cut short or damaged.
    """
    config = _json(folder / SETTINGS)
    quantised = config.get("quantization_config") or {}
    method = quantised.get("quant_method", "mxfp4") if isinstance(quantised, dict) else quantised
    if method != "mxfp4":
        raise BadBase(
            f"{folder}: quantised by {method}; only BF16, F16, F32 and MXFP4 weights can be merged "
            "into: take the model's unquantised weights"
        )
    files = {name: open_tensors(folder / name) for name in _shards(folder)}
    where: dict[str, TensorFile] = {}
    for file in files.values():
        for tensor in file.entries:
            if tensor in where:
                raise BadBase(f"{folder}: {tensor} is in two files; fetch the model again")
            where[tensor] = file
    _check_index(folder, where)
    return Base(folder, config, files, where)


def _shards(folder: Path) -> list[str]:
    if (folder / INDEX).exists():
        _refuse_both(folder)
        names = sorted(set(_weight_map(folder).values()))
        for name in names:
            if Path(name).name != name:
                raise BadBase(f"{folder / INDEX}: {name!r} is not a file's name; fetch it again")
            if not (folder / name).exists():
                raise BadBase(f"{folder}: {name} is missing; fetch the model again")
        return names
    if (folder / SINGLE).exists():
        return [SINGLE]
    others = sorted({path.suffix for path in folder.iterdir() if path.suffix in OTHER_FORMATS})
    found = f"; found {', '.join(others)}" if others else ""
    raise BadBase(
        f"{folder}: has neither {SINGLE} nor {INDEX}{found}; take the model in the safetensors "
        "format"
    )


def _refuse_both(folder: Path) -> None:
    """Raise `BadBase` where a single file stands beside those of an index.

    transformers takes the single file and vLLM the index's: one of them is from another save.
    """
    named = set(_weight_map(folder).values())
    if (folder / SINGLE).exists() and named != {SINGLE}:
        raise BadBase(
            f"{folder}: has both {SINGLE} and {INDEX} with {len(named)} files, and nothing says "
            "which is the model; remove what is old: the one file, or the index and its files"
        )


def _weight_map(folder: Path) -> dict[str, str]:
    found = _json(folder / INDEX).get("weight_map")
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise BadBase(f"{folder / INDEX}: must name the file of each tensor; fetch it again")
    return found


def _check_index(folder: Path, where: dict[str, TensorFile]) -> None:
    if not (folder / INDEX).exists():
        return
    for tensor, name in _weight_map(folder).items():
        if tensor not in where or where[tensor].path.name != name:
            raise BadBase(f"{folder}: {tensor} is not in {name}, as its index says; fetch it again")


def _json(path: Path) -> dict[str, Any]:
    with reading(path, BadBase):
        content = path.read_bytes()
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise BadBase(f"{path}: not JSON ({error}); fetch it again") from None
    if not isinstance(value, dict):
        raise BadBase(f"{path}: must be a JSON object; fetch it again")
    return value
