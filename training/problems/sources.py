"""Published sets of problems, as files that the user has fetched: their columns and licences."""

import hashlib
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import BadTraces, MissingExtra, reading
from training.problems.read import ANSWER, ID, STATEMENT, Problem, first, read_rows
from voting.answers import AnswerKind, extract, parse_answer

#: Contest answers, as AIMO3 has them.
LEAST, MOST = 0, 99_999


@dataclass(frozen=True, slots=True)
class Source:
    """A published set. The answer is in `answer`, or boxed in `solution`.

    `rate` is a column with the share of attempts of some model that were right, 0 to 1. Files that
    users write themselves (`own`) may name their columns as problems do, `Short Answer` too.
    """

    title: str
    licence: str
    own: bool = False
    answer: str = ""
    solution: str = ""
    origin: str = ""
    level: str = ""
    subject: tuple[str, ...] = ()
    rate: str = ""
    told: tuple[str, ...] = ()


#: Columns and licences as the sets' own cards state them.
SOURCES: dict[str, Source] = {
    "aimo3-reference": Source("AIMO3 reference problems", "CC BY-SA 4.0", own=True),
    "project-euler": Source("Project Euler, statements of the user", "CC BY-NC-SA 4.0", own=True),
    "imo": Source("IMO, statements of the user", "as the user states", own=True),
    "numinamath-cot": Source("NuminaMath-CoT", "Apache-2.0", solution="solution",
                             origin="source"),
    "numinamath-tir": Source("NuminaMath-TIR", "Apache-2.0", solution="solution"),
    "openmathreasoning": Source("OpenMathReasoning", "CC BY 4.0", answer="expected_answer",
                                origin="problem_source", rate="pass_rate_72b_tir",
                                told=("problem_type",)),
    "openmathinstruct-2": Source("OpenMathInstruct-2", "CC BY 4.0", answer="expected_answer",
                                 origin="problem_source"),
    "math": Source("MATH", "MIT", solution="solution", level="level",
                   subject=("subject", "type")),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which problems of a set are taken. `integer` keeps answers from `LEAST` to `MOST`.

    `subjects` are in lower case. A problem whose set states no rate has any rate.
    """

    integer: bool = False
    origins: frozenset[str] = frozenset()
    least_level: int | None = None
    most_level: int | None = None
    subjects: frozenset[str] = frozenset()
    least_rate: float = 0.0
    most_rate: float = 1.0


def load(name: str, paths: Iterable[Path], wanted: Wanted) -> Iterator[Problem]:
    """Yield the problems of a set that are wanted and have an answer that can be read.

    Sets come in several files; a folder stands for all of its own. A statement that comes twice is
    taken once.

    Raises:
        BadTraces: there is no set of that name, or a file is not of it.
        MissingExtra: Parquet needs pyarrow.
    """
    source = SOURCES.get(name)
    if source is None:
        raise BadTraces(f"source {name!r}: must be one of {', '.join(SOURCES)}")
    seen: set[bytes] = set()
    every = ((path, *row) for path in files(paths) for row in enumerate(_rows(path), start=1))
    for count, (path, number, given) in enumerate(every, start=1):
        row = _plainly_named(given) if source.own else given
        columns = STATEMENT if source.own else ("problem",)
        if row.keys().isdisjoint(columns):
            raise BadTraces(f"{path}, row {number}: no {columns[0]}; is it {source.title}?")
        statement = first(row, columns)
        if statement is None or not statement.strip():
            continue
        answer = _answer(row, source, integer=wanted.integer)
        plain = hashlib.blake2b(" ".join(statement.split()).encode(), digest_size=16).digest()
        if answer is None or plain in seen or not _fits(row, source, wanted):
            continue
        seen.add(plain)
        told = (source.level, source.rate, *source.subject, *source.told)
        more = {each: row[each] for each in told if each and row.get(each) is not None}
        if source.origin and row.get(source.origin) is not None:
            more["origin"] = row[source.origin]  # its own name may be that of another column
        yield Problem(
            id=first(row, ID) or f"{name}-{count}",
            statement=statement,
            answer=answer,
            source=source.title,
            licence=source.licence,
            more=more,
        )


def _plainly_named(row: dict[str, Any]) -> dict[str, Any]:
    return {"_".join(str(name).casefold().split()): value for name, value in row.items()}


def _answer(row: dict[str, Any], source: Source, *, integer: bool) -> str | None:
    kind = AnswerKind.INTEGER if integer else AnswerKind.TEXT
    if source.own or source.answer:
        told = first(row, ANSWER if source.own else (source.answer,))
        found = None if told is None else parse_answer(told, kind)
    else:
        found = extract(str(row.get(source.solution) or ""), kind)
    if found is None:
        return None
    if integer and not (found.integer is not None and found.integer in range(LEAST, MOST + 1)):
        return None
    return found.key if integer else found.written


def _fits(row: dict[str, Any], source: Source, wanted: Wanted) -> bool:
    if wanted.origins and str(row.get(source.origin)) not in wanted.origins:
        return False
    if wanted.subjects:
        named = {str(row[name]).casefold() for name in source.subject if row.get(name) is not None}
        if named.isdisjoint(wanted.subjects):
            return False
    if not _rate_fits(row.get(source.rate), wanted):
        return False
    if wanted.least_level is None and wanted.most_level is None:
        return True
    digits = re.search(r"\d+", str(row.get(source.level, "")))
    if digits is None:
        return False
    level = int(digits.group())
    return (wanted.least_level or level) <= level <= (wanted.most_level or level)


def _rate_fits(told: object, wanted: Wanted) -> bool:
    """Return whether a stated rate is within the bounds; where there is none, `n/a` or NaN is."""
    try:
        rate = float(str(told))
    except ValueError:
        return True
    return math.isnan(rate) or wanted.least_rate <= rate <= wanted.most_rate


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield files, and those of folders by name."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = sorted(each for each in path.iterdir() if each.suffix in _SUFFIXES)
        if not inside:
            raise BadTraces(f"{path}: has no file {', '.join(sorted(_SUFFIXES))}; name another")
        yield from inside


_SUFFIXES = frozenset({".parquet", ".jsonl", ".json", ".csv"})


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix != ".parquet":
        yield from read_rows(path)
        return
    try:
        import pyarrow as arrow  # noqa: PLC0415 - only this kind of file needs it
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise MissingExtra(
            f'{path}: Parquet needs pyarrow: `pip install "quorum-aimo[train]"`'
        ) from None
    with reading(path, BadTraces):
        try:
            for batch in parquet.ParquetFile(path).iter_batches(batch_size=1_000):
                yield from batch.to_pylist()
        except arrow.ArrowInvalid as error:
            raise BadTraces(f"{path}: not whole Parquet ({error})") from None
