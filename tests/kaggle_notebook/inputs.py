"""Input folders as Kaggle mounts them, with tiny bundles and models."""

import json
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path

from kaggle_notebook.bundle.make import BundleRequest, make

#: A file of safetensors with one tensor of four bytes.
_HEADER = b'{"layer": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}'
WEIGHTS = len(_HEADER).to_bytes(8, "little") + _HEADER + b"\0" * 4
#: A GGUF file with one tensor of four numbers of 32 bits, its data from byte 96 on.
GGUF = struct.pack("<4sIQQ", b"GGUF", 3, 1, 1)
GGUF += struct.pack("<Q4sIIQQ2s", 4, b"list", 9, 8, 1, 2, b"ab")
GGUF += struct.pack("<Q1sIQIQ", 1, b"t", 1, 4, 0, 0)
GGUF += bytes(-len(GGUF) % 32) + bytes(16)
#: And one without a tensor.
EMPTY_GGUF = struct.pack("<4sIQQ", b"GGUF", 3, 0, 0)
#: A project of the right name; its server is one line.
PROJECT_CODE = {
    "client/__init__.py": "",
    "client/main.py": "import quorum_tiny\n",
    "kaggle_notebook/__init__.py": "MADE_BY = 'the bundle'\n",
}


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    requires: Iterable[str] = (),
    code: dict[str, str] | None = None,
    extra: str = "",
) -> Path:
    """Write a wheel of pure Python."""
    stem = f"{name.replace('-', '_')}-{version}"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {each}" for each in requires]
    lines += [f"Provides-Extra: {extra}"] if extra else []
    modules = code if code is not None else {f"{name.replace('-', '_')}.py": f"V = '{version}'\n"}
    files = {
        **modules,
        f"{stem}.dist-info/METADATA": "\n".join(lines) + "\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in files)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for inside, text in {**files, f"{stem}.dist-info/RECORD": record}.items():
            wheel.writestr(inside, text)
    return path


def make_index(folder: Path) -> Path:
    """Write a folder of wheels that pip can take for an index; return the project's wheel."""
    for version in ("1.0", "2.0"):
        make_wheel(folder, "quorum-tiny", version)
        make_wheel(folder, "torch", version)
    make_wheel(folder, "quorum-other", "1.0", ["quorum-tiny"])
    return make_wheel(
        folder.parent / "project",
        "quorum-aimo",
        "0.1.0",
        ["quorum-tiny>=2", "quorum-other", 'torch>=2; extra == "heavy"'],
        PROJECT_CODE,
        "heavy",
    )


def make_bundle(folder: Path, project: Path, pythons: Iterable[str]) -> Path:
    """Make a bundle of the tiny project; pip must be told of the index by the environment."""
    make(BundleRequest(out=folder, project=project, pythons=tuple(pythons)))
    return folder


def make_hub_model(folder: Path, *, shards: int = 1, missing: int = 0) -> Path:
    """Write a model folder in the hub's form, with the last `missing` shards left out."""
    folder.mkdir(parents=True)
    names = [f"model-{n:05}-of-{shards:05}.safetensors" for n in range(1, shards + 1)]
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt_oss"}))
    (folder / "tokenizer.json").write_text("{}")
    weights = {f"layer{n}": name for n, name in enumerate(names)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))
    for name in names[: shards - missing]:
        (folder / name).write_bytes(WEIGHTS)
    return folder
