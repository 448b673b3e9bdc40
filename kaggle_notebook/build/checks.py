"""What the notebook finds before anything is installed: a check each, told in one line each."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from kaggle_notebook.build.models import FoundModel
from kaggle_notebook.bundle.manifest import Manifest, missing_files, target_name
from kaggle_notebook.errors import KaggleError
from kaggle_notebook.files import current_folder

#: What `predict` needs of the image: the gateway speaks gRPC and sends frames of these.
IMAGE_MODULES = ("grpc", "polars", "pandas")
GIB = 2**30
GB = 10**9
#: The environment of the server takes about 1 GB without an engine for a GPU.
NEEDED_DISK_GIB = 2.0
_MEMORY = Path("/proc/meminfo")
_GPUS = Path("/proc/driver/nvidia/gpus")


class Verdict(StrEnum):
    """What a check found, in the words of `quorum doctor`."""

    OK = "ok"
    NOTE = "note"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the summary; `remedy` says what to do where something is to be done."""

    subject: str
    verdict: Verdict
    detail: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the finding fit for JSON."""
        return {name: str(value) for name, value in asdict(self).items()}


def summary(findings: Iterable[Finding]) -> str:
    """Return the findings as a table of plain text."""
    rows = list(findings)
    width = max((len(row.subject) for row in rows), default=0)
    lines = []
    for row in rows:
        remedy = f"; {row.remedy}" if row.remedy else ""
        lines.append(f"{row.subject:<{width}}  {row.verdict:<7}  {row.detail}{remedy}")
    return "\n".join(lines)


def image_findings() -> Iterator[Finding]:
    """Yield what the machine and its image have."""
    yield Finding("python", Verdict.OK, f"{sys.version.split()[0]} at {sys.executable}")
    lacking = [name for name in IMAGE_MODULES if importlib.util.find_spec(name) is None]
    if lacking:
        yield Finding(
            "image",
            Verdict.MISSING if "grpc" in lacking or len(lacking) > 1 else Verdict.NOTE,
            f"lacks {', '.join(lacking)}",
            "choose the contest's image for the notebook",
        )
    else:
        yield Finding("image", Verdict.OK, f"has {', '.join(IMAGE_MODULES)}")
    yield _gpu()
    yield _memory()
    yield _disk()


def bundle_finding(bundle: Path | None, manifest: Manifest | None) -> Finding:
    """Tell whether the bundle has all its files for this Python; hashes are read at the install."""
    if bundle is None or manifest is None:
        return Finding("bundle", Verdict.NOTE, "none; the project that is installed here is used")
    target = target_name()
    if target not in manifest.targets:
        return Finding(
            "bundle",
            Verdict.MISSING,
            f"{bundle} is for Python {', '.join(sorted(manifest.targets))}, not {target}",
            f"make it again with `quorum kaggle bundle --python {target}`",
        )
    wrong = missing_files(bundle, manifest)
    if wrong:
        listed = "; ".join(wrong[:3]) + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
        return Finding("bundle", Verdict.MISSING, f"{bundle}: {listed}", "upload it again")
    size = sum(file.size_bytes for file in manifest.files) / GB
    detail = f"{bundle}: Quorum {manifest.release}, {len(manifest.files)} files, {size:.2f} GB"
    return Finding("bundle", Verdict.OK, detail)


def model_finding(model: FoundModel | KaggleError) -> Finding:
    """Tell which model was found, or why none."""
    if isinstance(model, KaggleError):
        detail, _, remedy = str(model).rpartition("; ")
        return Finding("model", Verdict.MISSING, detail, remedy)
    if not model.has_vocabulary:
        return Finding(
            "model", Verdict.MISSING, f"{model.describe()} has no tokenizer.json",
            "add it to the model, or a .tiktoken file to the bundle",
        )  # fmt: skip
    return Finding("model", Verdict.OK, model.describe())


def _gpu() -> Finding:
    try:
        count = len(list(_GPUS.iterdir()))
    except OSError:
        count = 0
    if not count:
        return Finding("GPU", Verdict.NOTE, "none that NVIDIA's driver shows")
    return Finding("GPU", Verdict.OK, f"{count} of NVIDIA's")


def _memory() -> Finding:
    cores = len(os.sched_getaffinity(0))
    try:
        lines = _MEMORY.read_text(encoding="ascii").splitlines()
        values = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        free, total = values["MemAvailable"] / GIB, values["MemTotal"] / GIB
    except (OSError, ValueError, KeyError, IndexError):
        return Finding("machine", Verdict.NOTE, f"{cores} CPU cores; its memory is not known")
    detail = f"{cores} CPU cores, {free:.1f} of {total:.1f} GiB of memory free"
    return Finding("machine", Verdict.OK, detail)


def _disk() -> Finding:
    folder = current_folder()
    free = shutil.disk_usage(folder).free / GIB
    detail = f"{free:.1f} GiB free at {folder}"
    if free < NEEDED_DISK_GIB:
        return Finding("disk", Verdict.NOTE, detail, f"{NEEDED_DISK_GIB:g} GiB are needed")
    return Finding("disk", Verdict.OK, detail)
