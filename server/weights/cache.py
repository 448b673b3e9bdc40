"""The user's cache of weights: where it is, and whether a file in it can be trusted."""

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson
import platformdirs

from server.weights.errors import (
    CacheUnusable,
    UnknownModel,
    WeightsDamaged,
    WeightsError,
    WeightsMissing,
)
from server.weights.known import KNOWN, KnownWeights
from server.weights.observer import Observer

CACHE_VARIABLE = "QUORUM_CACHE"
_READ_BYTES = 1 << 20
#: Names of folders that are a version or a format, rather than a model's.
_SAYS_NOTHING = re.compile(r"v?\d+|[0-9a-f]{40}|snapshots|default|transformers|pytorch|safetensors")
#: The hub's cache: `models--openai--gpt-oss-120b/snapshots/<commit>`.
_HUB = "models--"
_SILENT = Observer()


def weights_folder() -> Path:
    """Return the folder of fetched weights: `weights/` in `QUORUM_CACHE` or the user's cache.

    Raises `CacheUnusable` where `QUORUM_CACHE` begins with the home of a user that there is not.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    try:
        root = Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("quorum")
    except RuntimeError:
        raise CacheUnusable(
            f"{CACHE_VARIABLE} {chosen}: there is no such user's home; set it to a folder"
        ) from None
    return root / "weights"


def resolve(
    model: str, *, folder: Path | None = None, known: Mapping[str, KnownWeights] = KNOWN
) -> Path:
    """Return the file (or model folder) of a path or of a known name; fetches nothing.

    The first call after a pull by hand reads the whole file once (seconds), later calls compare
    size and time of change only.

    Raises `UnknownModel`, `WeightsMissing`, `WeightsDamaged`, `CacheUnusable`.
    """
    if model in known:
        weights = known[model]
        path = (folder or weights_folder()) / weights.file_name
        if not is_there(path):
            raise WeightsMissing(
                f"weights {model!r}: not in {path.parent}; fetch them once with "
                f"`quorum weights pull {model}` ({size_text(weights.size_bytes)}), or name a file "
                "that you have"
            )
        check(path, weights)
        return path
    return _given(model, known)


def model_name(path: Path) -> str:
    """Return what a model is called: its folder's name, or its file's without the ending.

    A folder that says which version it holds, or in which format, is called as the first one above
    it that says more: Kaggle's `gpt-oss-120b/transformers/default/1`, and the hub's cache.
    """
    if not path.is_dir():
        return path.stem
    # A folder has no ending: the dots are of versions, as in Qwen2.5.
    own = path.name or path.resolve().name
    for name in (own, *(parent.name for parent in path.absolute().parents)):
        if name and not _SAYS_NOTHING.fullmatch(name.lower()):
            return name.removeprefix(_HUB).rpartition("--")[2] if name.startswith(_HUB) else name
    return own


def is_there(path: Path) -> bool:
    """Tell whether a path of the cache is there; raises `CacheUnusable` where that is hidden."""
    try:
        return path.exists()
    except OSError as error:
        raise CacheUnusable(
            f"{path.parent}: cannot be read ({error.strerror}); change its owner or rights, or set "
            f"{CACHE_VARIABLE} to another folder"
        ) from error


def _given(model: str, known: Mapping[str, KnownWeights]) -> Path:
    path = _existing(model)
    if path is None:
        raise UnknownModel(
            f"model {model!r}: neither a file nor a known name; give a path or one of "
            f"{', '.join(known)}"
        )
    if path.suffix == ".gguf" and path.is_file():
        with _readable(path), path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise WeightsDamaged(f"{path}: not a GGUF file; fetch it again")
    return path


def _existing(model: str) -> Path | None:
    try:
        path = Path(model).expanduser()
        return path if model and path.exists() else None
    except (OSError, RuntimeError, ValueError):
        # Too long, of no user that there is, or no path at all.
        return None


def check(path: Path, weights: KnownWeights, observer: Observer = _SILENT) -> None:
    """Make sure that a file holds the published bytes; raises `WeightsDamaged`.

    The result is remembered beside the file for as long as its size and time of change hold.
    """
    with _readable(path):
        state = path.stat()
        if state.st_size != weights.size_bytes:
            raise WeightsDamaged(
                f"weights {weights.name!r}: {path} holds {state.st_size:,} bytes where "
                f"{weights.size_bytes:,} are published; run `quorum weights pull {weights.name}`, "
                "which replaces it"
            )
        if is_verified(path, weights):
            return
        found = _sha256(path, observer)
    if found != weights.sha256:
        raise WeightsDamaged(
            f"weights {weights.name!r}: {path} has sha256 {found} where {weights.sha256} is "
            f"published; run `quorum weights pull {weights.name}`, which replaces it"
        )
    remember(path, weights)


def is_verified(path: Path, weights: KnownWeights) -> bool:
    """Tell whether this very file has been found to hold the published bytes."""
    try:
        return bool(orjson.loads(_record(path).read_bytes()) == _facts(path, weights))
    except (OSError, orjson.JSONDecodeError):
        return False


def remember(path: Path, weights: KnownWeights) -> None:
    """Record that a file holds the published bytes."""
    # A cache that cannot be written is checked anew each time, which is slow but right.
    with contextlib.suppress(OSError):
        fresh = _record(path).with_suffix(".new")
        fresh.write_bytes(orjson.dumps(_facts(path, weights)))
        fresh.replace(_record(path))


def discard(path: Path) -> None:
    """Remove a file and what is remembered of it."""
    path.unlink(missing_ok=True)
    _record(path).unlink(missing_ok=True)


def size_text(count: int) -> str:
    """Return a number of bytes for people: `1.1 GB`, `52.4 MB`."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.verified")


def _facts(path: Path, weights: KnownWeights) -> dict[str, object]:
    state = path.stat()
    return {"size": state.st_size, "mtime_ns": state.st_mtime_ns, "sha256": weights.sha256}


def _sha256(path: Path, observer: Observer) -> str:
    digest, done = hashlib.sha256(), 0
    observer.begin("checking", path.stat().st_size, 0)
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(_READ_BYTES):
                digest.update(chunk)
                done += len(chunk)
                observer.at(done)
    finally:
        observer.end()
    return digest.hexdigest()


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); check its owner") from error
