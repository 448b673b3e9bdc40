"""What the target image has: the output of `pip freeze` there."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from kaggle_notebook.errors import BundleError

#: What the notebook itself, the contest's gateway and the GPU's libraries are made of: replaced in
#: the server's environment only where that is allowed by name.
PROTECTED = (
    "torch", "torchvision", "torchaudio", "triton", "nvidia-*", "cuda-*", "cupy*", "jax", "jaxlib",
    "tensorflow*", "flashinfer*", "vllm", "sglang", "sgl-kernel", "numpy", "pandas", "polars*",
    "pyarrow", "grpcio*", "protobuf", "ipykernel", "ipython", "jupyter-client", "jupyter-core",
    "pyzmq", "tornado", "kaggle*", "pip", "setuptools",
)  # fmt: skip
_LINE = re.compile(r"^([A-Za-z0-9][\w.-]*)\s*==\s*([^\s;#]+)\s*(?:;([^#\\]*))?")
_BY_URL = re.compile(r"^(?:-e\s+\S*egg=)?([A-Za-z0-9][\w.-]*)\s*(?:@\s|$)")


def normal(name: str) -> str:
    """Return a distribution's name in the form in which names are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass(frozen=True, slots=True)
class Image:
    """Packages by normal name: `versions`, and those whose version is not known (`unversioned`)."""

    versions: Mapping[str, str] = field(default_factory=dict)
    unversioned: frozenset[str] = frozenset()

    def constraints(self, without: Iterable[str] = ()) -> str:
        """Return a constraints file: the image's versions, but for the packages named.

        A build's own label is left out, as in 2.6.0+cu124: no index has that build.
        """
        left_out = set(without)
        return "".join(
            f"{name}=={version.partition('+')[0]}\n"
            for name, version in sorted(self.versions.items())
            if name not in left_out
        )

    def has(self, name: str, version: str) -> bool:
        """Whether the image has this version, built whichever way."""
        return self.versions.get(name, "").partition("+")[0] == version.partition("+")[0]


def read_image(path: Path | None, applies: Callable[[str], bool] = lambda _marker: True) -> Image:
    """Return the packages of a freeze file; none without a file.

    A line with a marker, as locks have them, counts where it `applies`.

    Raises:
        BundleError: the file cannot be read, or a line is not understood.
    """
    if path is None:
        return Image()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(
            f"{path}: cannot be read ({error}); give the output of `pip freeze`"
        ) from error
    versions: dict[str, str] = {}
    unversioned = set()
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if not line or line.startswith(("#", "--")):
            continue
        if found := _LINE.match(line):
            if not found[3] or applies(found[3].strip()):
                versions[normal(found[1])] = found[2]
        elif found := _BY_URL.match(line):
            unversioned.add(normal(found[1]))
        elif not line.startswith("-e"):
            raise BundleError(
                f"{path}, line {number}: {line[:80]!r} is not name==version; give the output of "
                "`pip freeze` in the target image"
            )
    return Image(versions, frozenset(unversioned - versions.keys()))


def protected(name: str, allowed: Iterable[str]) -> bool:
    """Whether a package may not be replaced."""
    if name in {normal(each) for each in allowed}:
        return False
    return any(fnmatch(name, pattern) for pattern in PROTECTED)
