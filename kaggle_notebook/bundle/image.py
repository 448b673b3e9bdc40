"""What the target image has: the output of `pip freeze` there."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import unquote

from kaggle_notebook.errors import BundleError

#: What the notebook itself, the contest's gateway and the GPU's libraries are made of: replaced in
#: the server's environment only where that is allowed by name.
PROTECTED = (
    "torch", "torchvision", "torchaudio", "triton", "nvidia-*", "cuda-*", "cupy*", "jax", "jaxlib",
    "tensorflow*", "flashinfer*", "vllm", "sglang", "sgl-kernel", "numpy", "pandas", "polars*",
    "pyarrow", "grpcio*", "protobuf", "ipykernel", "ipython", "jupyter-client", "jupyter-core",
    "pyzmq", "tornado", "kaggle*", "pip", "setuptools",
)  # fmt: skip
_NAME = r"([A-Za-z0-9][\w.-]*)"
_LINE = re.compile(rf"^{_NAME}(?:\[[^\]]*\])?\s*={{2,3}}\s*([^\s;#]+)\s*(?:;([^#\\]*))?")
_BY_URL = re.compile(rf"^{_NAME}\s*(?:@\s*(\S+)|$)")
_EDITABLE = re.compile(rf"^-e\s+\S*[#&]egg={_NAME}")
#: What pip says above an editable line that does not name its package.
_ABOVE_EDITABLE = re.compile(rf"^# Editable .*\({_NAME}==([^)\s]+)\)$")
#: The version in the name of a wheel, or of a source archive.
_IN_WHEEL = re.compile(r"^[^-]+-([^-]+)(?:-\d[^-]*)?-[^-]+-[^-]+-[^-]+\.whl$")
_IN_SOURCE = re.compile(r"-(\d[^-]*)\.(?:tar\.gz|tar\.bz2|zip)$")
#: Lines that tell pip where to look.
_PLACES = ("#", "--", "-i ", "-f ")


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
        BundleError: the file cannot be read, a line is not understood, or two contradict each
            other.
    """
    if path is None:
        return Image()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(
            f"{path}: cannot be read ({error}); give the output of `pip freeze`"
        ) from error
    versions: dict[str, str] = {}
    unversioned = set()
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        name, version = _package(line, applies)
        if name and version:
            earlier = versions.setdefault(name, version)
            if earlier != version:
                raise BundleError(
                    f"{path}, line {number}: {name} is {version} here and {earlier} above; give "
                    "the output of `pip freeze` in one image"
                )
        elif name:
            unversioned.add(name)
        elif line and not line.startswith((*_PLACES, "-e ")) and not _LINE.match(line):
            raise BundleError(
                f"{path}, line {number}: {line[:80]!r} is not name==version; give the output of "
                "`pip freeze` in the target image"
            )
    return Image(versions, frozenset(unversioned - versions.keys()))


def _package(line: str, applies: Callable[[str], bool]) -> tuple[str, str]:
    """Return the normal name and the version that a line says; empty what it does not."""
    if found := _LINE.match(line):
        applied = not found[3] or applies(found[3].strip())
        return (normal(found[1]), found[2]) if applied else ("", "")
    if found := _ABOVE_EDITABLE.match(line):
        return normal(found[1]), found[2]
    if found := _EDITABLE.match(line):
        return normal(found[1]), ""
    if found := _BY_URL.match(line):
        return normal(found[1]), _version_in(found[2] or "")
    return "", ""


def _version_in(url: str) -> str:
    """Return the version in the name of the file that an address leads to, empty without one."""
    file = unquote(url.partition("#")[0].partition("?")[0].rpartition("/")[2])
    found = _IN_WHEEL.match(file) or _IN_SOURCE.search(file)
    return found[1] if found else ""


def protected(name: str, allowed: Iterable[str]) -> bool:
    """Whether a package may not be replaced."""
    if name in {normal(each) for each in allowed}:
        return False
    return any(fnmatch(name, pattern) for pattern in PROTECTED)
