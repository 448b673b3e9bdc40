"""A problem set, by its name or from a file; named sets are kept, whole, for use without network.

A named set that was loaded once lies as JSON lines in the user's cache, beside its SHA-256. It is
written under another name and renamed: half of one is never read.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
import platformdirs
import structlog

from server.evaluation.catalogue import SetSource, known_set, known_sets
from server.evaluation.errors import SetChanged, SetGone, UnknownSet
from server.evaluation.hub import hub_rows
from server.evaluation.problem import Fault, Kind, Problem, ProblemSet
from server.evaluation.reading import file_source, read_problems
from server.evaluation.rows import GZIP, read_rows
from server.weights.cache import CACHE_VARIABLE

log = structlog.get_logger(__name__)
#: What a dataset of the hub is named by.
HUB = "hf:"
#: What is fetched of a dataset that nothing more is known of; files of a test split come first.
ANY_FILES = tuple(f"*{split}*.{end}" for split in ("test", "train") for end in ("jsonl", "parquet"))
_PART = re.compile(r"[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
#: Of the form of the kept files: another one is fetched again.
VERSION = 1


def sets_folder() -> Path:
    """Return the folder of kept sets: `problem-sets/` in `QUORUM_CACHE` or the user's cache."""
    chosen = os.environ.get(CACHE_VARIABLE)
    root = Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("quorum")
    return root / "problem-sets"


def load_set(
    name: str,
    *,
    data: Path | None = None,
    kind: Kind | None = None,
    columns: Mapping[str, str] | None = None,
    where: Mapping[str, str] | None = None,
    refresh: bool = False,
) -> ProblemSet:
    """Return a set: of a name, of a file or `hf:OWNER/NAME` in place of one, or a known set from a
    file `data`.

    `where` keeps the rows that have these values in these columns.

    Raises:
        UnknownSet, SetUnreadable, SetGone, SetChanged: see `server.evaluation.errors`.
    """
    asked = Asked(kind, columns or {}, {name: (value,) for name, value in (where or {}).items()})
    path = data
    if name not in known_sets() and data is None and not name.startswith(HUB):
        path = Path(name)
        if not path.is_file():
            known_set(name)
            raise UnknownSet(f"problem set {name!r}: there is no such file; name one that is there")
        name = (path.with_suffix("") if path.suffix == GZIP else path).stem
    if path is not None:
        return _from_file(name, path, asked)
    source = hub_source(name) if name.startswith(HUB) else known_set(name)
    return _fetched(name, source, asked, refresh=refresh)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller says of a set beside its name."""

    kind: Kind | None
    columns: Mapping[str, str]
    where: Mapping[str, tuple[str, ...]]

    def of(self, source: SetSource, **changes: object) -> SetSource:
        """Return a set's description with what was said."""
        checked = file_source(self.kind, self.columns, source.title)
        update = {
            "kind": self.kind or source.kind, "columns": {**source.columns, **checked.columns},
            "where": {**source.where, **self.where},
        }  # fmt: skip
        return source.model_copy(update={**update, **changes})

    def __bool__(self) -> bool:
        return bool(self.kind or self.columns or self.where)


def hub_source(name: str) -> SetSource:
    """Return the description of any dataset of the hub: `hf:OWNER/NAME`, perhaps with `/FILES`.

    Raises:
        UnknownSet: the name is malformed.
    """
    parts = name.removeprefix(HUB).split("/", 2)
    if len(parts) < 2 or not all(_PART.fullmatch(part) for part in parts[:2]):
        raise UnknownSet(
            f"problem set {name[:80]!r}: must be {HUB}OWNER/NAME or {HUB}OWNER/NAME/FILES, for "
            "example hf:MathArena/aime_2025/data/train-*.parquet"
        )
    return SetSource(
        title=name, source="hub", repo="/".join(parts[:2]), checked=False,
        files=tuple(parts[2:]) or ANY_FILES, licence="the dataset's own",
    )  # fmt: skip


def _from_file(name: str, path: Path, asked: Asked) -> ProblemSet:
    known = known_sets().get(name)
    if known is None:
        source = asked.of(file_source(None, {}, str(path)))
    else:
        # A copy of a known set may have columns of its own, and need not be filtered again.
        source = asked.of(known, columns=dict(asked.columns), where=asked.where, contains={})
    return read_problems(name, source, read_rows(path), str(path))


def _fetched(name: str, source: SetSource, asked: Asked, *, refresh: bool) -> ProblemSet:
    if source.source == "file":
        raise SetGone(
            f"problem set {name!r}: is not on the hub; obtain it with `{source.obtain}` and name "
            "the file with --data"
        )
    checked = source.checked and not asked
    source = asked.of(source)
    kept = sets_folder() / f"{_file_name(name, source, plain=not asked)}.json"
    if not refresh and (found := _kept(kept, name, source)) is not None:
        return found
    fetched = read_problems(name, source, hub_rows(name, source), source.repo)
    rows = len(fetched.problems) + sum(len(ids) for ids in fetched.faults.values())
    if checked and source.count is not None and rows != source.count:
        raise SetChanged(
            f"problem set {name!r}: {rows} rows where {source.repo} had {source.count}: the set "
            "has changed, and scores on it cannot be compared; give the copy that you want with "
            "--data FILE"
        )
    _keep(kept, fetched)
    return fetched


def _file_name(name: str, source: SetSource, *, plain: bool) -> str:
    if plain and name in known_sets():
        return name
    told = hashlib.sha256(source.model_dump_json().encode()).hexdigest()[:12]
    return f"{_UNSAFE.sub('-', name)[:80]}-{told}"


def _keep(path: Path, problem_set: ProblemSet) -> None:
    """Write a set to the cache; a cache that cannot be written costs the next fetch alone."""
    body = {
        "version": VERSION, "origin": problem_set.origin,
        "faults": {fault.value: list(ids) for fault, ids in problem_set.faults.items()},
        "problems": [asdict(problem) for problem in problem_set.problems],
    }  # fmt: skip
    text = orjson.dumps(body)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
        partial.replace(path)
    except OSError as error:
        log.warning("evaluation.set_not_kept", path=str(path), error=str(error))


def _kept(path: Path, name: str, source: SetSource) -> ProblemSet | None:
    """Return the set that was kept; None where there is none, or it is damaged."""
    try:
        digest, _, text = path.read_bytes().partition(b"\n")
        if hashlib.sha256(text).hexdigest().encode() != digest:
            log.warning("evaluation.kept_set_damaged", path=str(path))
            return None
        body = orjson.loads(text)
        if body["version"] != VERSION:
            return None
        problems = [Problem(**{**row, "kind": Kind(row["kind"])}) for row in body["problems"]]
        faults = {Fault(fault): ids for fault, ids in body["faults"].items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("evaluation.kept_set_damaged", path=str(path), error=str(error))
        return None
    return ProblemSet(
        name=name, problems=tuple(problems), licence=source.licence, origin=body["origin"],
        faults=faults,
    )  # fmt: skip
