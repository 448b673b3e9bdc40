"""Finds model weights below the input folder, whatever the mounts look like. Standard library."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kaggle_notebook.build.gguf import NoGguf, read_layout
from kaggle_notebook.build.locate import folders_below
from kaggle_notebook.errors import InputError

CONFIGURATION = "config.json"
INDEX = "model.safetensors.index.json"
#: A split GGUF file is opened by its first part.
_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
#: Where a model's token table may be.
_VOCABULARIES = ("tokenizer.json", ".tiktoken")
GB = 10**9
#: The format's own bound of a header.
_MOST_HEADER_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class FoundModel:
    """Weights: a folder in the hub's form, or a GGUF file (the first, where it is split).

    ``missing`` names files that it should have and has not, ``damaged`` says what is wrong with
    others; ``family`` is its `model_type`.
    """

    path: Path
    size_bytes: int
    missing: tuple[str, ...] = ()
    family: str = ""
    has_vocabulary: bool = True
    damaged: tuple[str, ...] = ()

    @property
    def is_gguf(self) -> bool:
        """Whether it is for llama.cpp."""
        return self.path.suffix == ".gguf"

    def describe(self) -> str:
        """Return one line for a person."""
        lacks = f", lacks {_listed(self.missing)}" if self.missing else ""
        damage = f", {_listed(self.damaged)}" if self.damaged else ""
        return f"{self.path} ({self.size_bytes / GB:.1f} GB{lacks}{damage})"


def find_models(root: Path) -> list[FoundModel]:
    """Return all weights below a folder, the nearest first."""
    found: list[FoundModel] = []
    for folder, names in folders_below(root):
        found += _gguf(folder, names)
        if CONFIGURATION in names and any(name.endswith(".safetensors") for name in names):
            model = _hub(folder, names)
            if model is not None:
                found.append(model)
    return found


def choose_model(models: Iterable[FoundModel], wanted: str = "", root: str = "") -> FoundModel:
    """Return the model that is meant: the only whole one, or the only one `wanted` is part of.

    Raises:
        InputError: there is none, it is not whole, or it is not clear which; the sentence lists
            what there is.
    """
    found = list(models)
    if wanted:
        exact = [model for model in found if str(model.path) == wanted.rstrip("/")]
        found = exact or [model for model in found if wanted.lower() in str(model.path).lower()]
    name = f"a model {wanted!r}" if wanted else "a model"
    if not found:
        raise InputError(
            f"{root or 'the input folder'}: holds no weights of {name} (a folder with "
            f"{CONFIGURATION} and .safetensors, or a .gguf file); attach the model to the notebook"
        )
    whole = [model for model in found if not model.missing and not model.damaged]
    if not whole:
        listed = "; ".join(model.describe() for model in found)
        raise InputError(f"{name} is not whole: {listed}; upload it again")
    if len(whole) > 1:
        listed = "; ".join(model.describe() for model in whole)
        raise InputError(
            f"{root or 'the input folder'}: it is not clear which model is meant: {listed}; "
            "set MODEL in the first cell to a part of one path"
        )
    return whole[0]


def _gguf(folder: Path, names: list[str]) -> list[FoundModel]:
    found = []
    for name in names:
        part = _PART.search(name)
        if not name.endswith(".gguf") or (part and part.group(1) != "00001"):
            continue
        parts = [name]
        if part:
            stem, count = name[: part.start()], int(part.group(2))
            parts = [f"{stem}-{n:05}-of-{count:05}.gguf" for n in range(1, count + 1)]
        here = [each for each in parts if each in names]
        missing = tuple(each for each in parts if each not in names)
        wrong = (_gguf_damage(folder / each, alone=not part) for each in here)
        damaged = tuple(filter(None, wrong))
        found.append(FoundModel(folder / name, _size(folder, here), missing, damaged=damaged))
    return found


def _hub(folder: Path, names: list[str]) -> FoundModel | None:
    configuration = _object(folder / CONFIGURATION)
    if not {"architectures", "model_type"} & configuration.keys():
        return None  # an adapter's, or another program's
    shards = [name for name in names if name.endswith(".safetensors")]
    index = _object(folder / INDEX).get("weight_map") if INDEX in names else None
    expected = sorted(set(map(str, index.values()))) if isinstance(index, dict) else shards
    vocabulary = any(name.endswith(_VOCABULARIES) for name in names)
    return FoundModel(
        folder,
        _size(folder, shards),
        tuple(name for name in expected if name not in names),
        str(configuration.get("model_type", "")),
        vocabulary,
        # others beside them are not read by an engine
        tuple(wrong for name in expected if name in names and (wrong := _damage(folder / name))),
    )


def _damage(path: Path) -> str:
    """Return what is wrong with a file of safetensors by its header, empty where nothing is.

    A copy that was cut would only be found out by the engine, minutes later.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, _MOST_HEADER_BYTES)))
        ends = [each["data_offsets"][1] for name, each in header.items() if name != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
    except OSError as error:
        return f"{path.name} cannot be read ({error.strerror or error})"
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return f"{path.name} has no header of safetensors"
    return f"{path.name} is cut ({size:,} of {expected:,} bytes)" if size < expected else ""


def _gguf_damage(path: Path, *, alone: bool) -> str:
    """Return what is wrong with a GGUF file by its header; one that is `alone` has tensors."""
    try:
        size = path.stat().st_size
        found = read_layout(path)
    except OSError as error:
        return f"{path.name} cannot be read ({error.strerror or error})"
    except NoGguf:
        return f"{path.name} has no header of GGUF"
    except EOFError:
        return f"{path.name} is cut ({size:,} bytes, which end in its header)"
    if found is None:
        return ""
    if size < found.size_bytes:
        return f"{path.name} is cut ({size:,} of {found.size_bytes:,} bytes)"
    return f"{path.name} has no tensors" if alone and not found.tensors else ""


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _size(folder: Path, names: Iterable[str]) -> int:
    total = 0
    for name in names:
        try:
            total += (folder / name).stat().st_size
        except OSError:
            continue
    return total


def _object(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
