"""Reflections on traces: spans with a tag and a reason, checked by rules, as CSV.

One row a span: `problem_id`, `solve_id`, `attempt`, `annotator`, `tag`, `begin`, `end` (positions
of token ids in the trace, `end` not included), `source` (for a mistake: where it comes from, a
position before it), `reason`, `alternate`. A comparison is a row as well, with the tags `better`,
`neutral` and `worse` for continuations of the same prefix: `begin` is the position where they part,
`alternate` is the number of the continuation, empty for the trace's own.
"""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from client.schema import COMPARED_TAGS, LabelTag
from training.alternates.record import Position
from training.errors import BadTraces, reading
from training.files import whole_file
from training.problems.read import MOST_FIELD


@dataclass(frozen=True, slots=True)
class Span:
    """One row. Positions are of token ids in the whole trace."""

    problem_id: str
    solve_id: str
    attempt: int
    annotator: str
    tag: LabelTag
    begin: int
    end: int
    source: int | None
    reason: str
    alternate: int | None = None

    @property
    def trace(self) -> tuple[str, int]:
        """What names the trace."""
        return self.solve_id, self.attempt


COLUMNS = tuple(field.name for field in fields(Span))
#: Columns that a file may lack: it is of a tool that knows no alternates.
OPTIONAL = frozenset({"alternate"})


def read_spans(path: Path) -> list[Span]:
    """Return the rows of a `reflections.csv`.

    Raises:
        BadTraces: it cannot be read, or a row is malformed.
    """
    csv.field_size_limit(MOST_FIELD)
    # not by `splitlines`: a reason may hold a line separator that ends no row
    with reading(path, BadTraces), path.open(encoding="utf-8-sig", newline="") as file:
        try:
            return list(_spans(path, csv.DictReader(file)))
        except (UnicodeDecodeError, csv.Error) as error:
            raise BadTraces(f"{path}: not CSV in UTF-8 ({error})") from None


def _spans(path: Path, rows: "csv.DictReader[str]") -> Iterator[Span]:
    missing = [name for name in COLUMNS if name not in {*(rows.fieldnames or ()), *OPTIONAL}]
    if missing:
        raise BadTraces(f"{path}: lacks the columns {', '.join(missing)}")
    for number, row in enumerate(rows, start=2):
        cut = [name for name in COLUMNS if row.get(name) is None and name not in OPTIONAL]
        if cut:
            raise BadTraces(f"{path}, line {number}: has no {cut[0]}; correct it")
        try:
            yield Span(
                row["problem_id"], row["solve_id"], int(row["attempt"]), row["annotator"],
                LabelTag(row["tag"]), int(row["begin"]), int(row["end"]),
                int(row["source"]) if row["source"] else None, row["reason"],
                int(row["alternate"]) if row.get("alternate") else None,
            )  # fmt: skip
        except ValueError as error:
            raise BadTraces(f"{path}, line {number}: {error}; correct it") from None


def write_spans(target: Path, spans: Iterable[Span]) -> None:
    """Write rows as CSV, whole or not at all."""
    with whole_file(target) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(asdict(span) for span in spans)


def named_places(spans: Iterable[Span]) -> set[tuple[str, int, int]]:
    """Return where other continuations are worth having: where a mistake comes from, and the spans.

    Each is a solve, an attempt and a position. Final answers and comparisons name none.
    """
    found = set()
    for span in spans:
        if span.tag in COMPARED_TAGS or span.tag is LabelTag.FINAL:
            continue
        found.add((*span.trace, span.begin))
        if span.source is not None:
            found.add((*span.trace, span.source))
    return found


def faults(
    spans: Sequence[Span],
    lengths: Mapping[tuple[str, int], int],
    positions: Mapping[tuple[str, int, int], Position] | None = None,
) -> list[str]:
    """Return what breaks the rules, a sentence each.

    Spans lie inside their trace, or inside the continuation that they compare; each has a reason; a
    mistake has its source, at or before it; an annotator gives a trace one final answer at most,
    and a continuation one verdict; where one continuation is better another is worse, of the same
    annotator at the same position.

    Args:
        spans: what was said.
        lengths: the traces' token counts.
        positions: the alternates that comparisons are about, where there are any.
    """
    found: list[str] = []
    finals: dict[tuple[str, int, str], int] = defaultdict(int)
    compared: dict[tuple[str, str, int], set[LabelTag]] = defaultdict(set)
    verdicts: Counter[tuple[str, int, int, int | None, str]] = Counter()
    for number, span in enumerate(spans, start=2):
        place = f"line {number}: "
        if span.alternate is None:
            found += [place + fault for fault in _faults_of(span, lengths.get(span.trace))]
        else:
            found += [place + fault for fault in _faults_of_alternate(span, positions or {})]
        if span.tag is LabelTag.FINAL:
            finals[*span.trace, span.annotator] += 1
        if span.tag in COMPARED_TAGS:
            # continuations of an attempt are judged among themselves, others where attempts part
            alone = positions is not None and (*span.trace, span.begin) in positions
            where = f"{span.solve_id}/{span.attempt}" if alone else span.problem_id
            compared[where, span.annotator, span.begin].add(span.tag)
            verdicts[*span.trace, span.begin, span.alternate, span.annotator] += 1
    found += [
        f"{solve}/{attempt}: {count} final answers by {who}; must be one"
        for (solve, attempt, who), count in finals.items()
        if count > 1
    ]
    found += [
        f"{solve}/{attempt}, position {begin}: {count} verdicts by {who} on "
        f"{'its own' if alternate is None else f'alternate {alternate}'}; must be one"
        for (solve, attempt, begin, alternate, who), count in verdicts.items()
        if count > 1
    ]
    found += [
        f"{where}, position {begin}: {who} calls one continuation {tags.pop()} and none the "
        "opposite; better and worse go together"
        for (where, who, begin), tags in (
            (key, tags & {LabelTag.BETTER, LabelTag.WORSE}) for key, tags in compared.items()
        )
        if len(tags) == 1
    ]
    return found


def _faults_of(span: Span, length: int | None) -> list[str]:
    if length is None:
        return [f"no trace {span.solve_id}/{span.attempt}"]
    found = _faults_of_any(span)
    if not 0 <= span.begin < span.end <= length:
        found.append(f"span {span.begin}-{span.end} is not inside the trace's {length} tokens")
    if span.tag is LabelTag.MISTAKE and span.source is None:
        found.append("a mistake without its source")
    if span.source is not None and not 0 <= span.source <= span.begin:
        found.append(f"source {span.source} is not at or before the span's begin {span.begin}")
    return found


def _faults_of_alternate(
    span: Span, positions: Mapping[tuple[str, int, int], Position]
) -> list[str]:
    if span.tag not in COMPARED_TAGS:
        return [f"an alternate is better, neutral or worse, not {span.tag}"]
    position = positions.get((*span.trace, span.begin))
    length = None if position is None else position.length(span.alternate)
    if length is None:
        return [f"no alternate {span.alternate} at {span.solve_id}/{span.attempt}, {span.begin}"]
    found = _faults_of_any(span)
    if not span.begin < span.end <= span.begin + length:
        found.append(f"span {span.begin}-{span.end} is not inside the {length} tokens of its own")
    return found


def _faults_of_any(span: Span) -> list[str]:
    return [] if span.reason.strip() else ["no reason"]
