"""A problem set, by its name or from a file; named sets are kept, whole, for use without network.

A named set that was loaded once lies as JSON lines in the user's cache, beside its SHA-256. It is
written under another name and renamed: half of one is never read.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import orjson
import platformdirs
import structlog

from server.evaluation.catalogue import SetSource, known_set, known_sets
from server.evaluation.errors import SetChanged, SetGone, UnknownSet
from server.evaluation.hub import hub_rows
from server.evaluation.problem import Fault, Kind, Problem, ProblemSet
from server.evaluation.reading import file_source, read_problems
from server.evaluation.rows import read_rows
from server.weights.cache import CACHE_VARIABLE

log = structlog.get_logger(__name__)
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
    refresh: bool = False,
) -> ProblemSet:
    """Return a set: of a name, of a file named in place of one, or a known set from a file `data`.

    Raises:
        UnknownSet, SetUnreadable, SetGone, SetChanged: see `server.evaluation.errors`.
    """
    path = data
    if name not in known_sets() and data is None:
        path = Path(name)
        if not path.is_file():
            known_set(name)
            raise UnknownSet(f"problem set {name!r}: there is no such file; name one that is there")
        name = path.stem
    if path is not None:
        return _from_file(name, path, kind, columns or {})
    return _known(name, known_set(name), refresh=refresh)


def _from_file(name: str, path: Path, kind: Kind | None, columns: Mapping[str, str]) -> ProblemSet:
    known = known_sets().get(name)
    if known is None:
        source = file_source(kind or Kind.TEXT, columns, f"{path}")
    else:
        # A copy of a known set may have columns of its own, and need not be filtered again.
        source = known.model_copy(
            update={
                "columns": dict(columns),
                "where": {},
                "contains": {},
                "kind": kind or known.kind,
            }
        )
    return read_problems(name, source, read_rows(path), str(path))


def _known(name: str, source: SetSource, *, refresh: bool) -> ProblemSet:
    if source.source == "file":
        raise SetGone(
            f"problem set {name!r}: is not on the hub; obtain it with `{source.obtain}` and name "
            "the file with --data"
        )
    kept = sets_folder() / f"{name}.json"
    if not refresh and (found := _kept(kept, name, source)) is not None:
        return found
    fetched = read_problems(name, source, hub_rows(name, source), source.repo)
    rows = len(fetched.problems) + sum(len(ids) for ids in fetched.faults.values())
    if source.checked and source.count is not None and rows != source.count:
        raise SetChanged(
            f"problem set {name!r}: {rows} rows where {source.repo} had {source.count}: the set "
            "has changed, and scores on it cannot be compared; give the copy that you want with "
            "--data FILE"
        )
    _keep(kept, fetched)
    return fetched


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
