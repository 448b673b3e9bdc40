"""Reflections on traces: spans with a tag and a reason, checked by rules, as CSV.

One row a span: `problem_id`, `solve_id`, `attempt`, `annotator`, `tag`, `begin`, `end` (positions
of token ids in the trace, `end` not included), `source` (for a mistake: where it comes from, a
position before it), `reason`. A comparison is a row as well, with the tags `better`, `neutral` and
`worse` for continuations of the same prefix: `begin` is the position where they part.
"""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from pathlib import Path

from training.errors import BadTraces, reading
from training.files import whole_file


class Tag(StrEnum):
    """What a span is."""

    BREAKTHROUGH = "breakthrough"
    INSIGHT = "insight"
    MISTAKE = "mistake"
    QUESTIONABLE = "questionable"
    MISSED = "missed"
    WASTED = "wasted"
    VERIFICATION = "verification"
    FINAL = "final"
    BETTER = "better"
    NEUTRAL = "neutral"
    WORSE = "worse"


COMPARED = frozenset({Tag.BETTER, Tag.NEUTRAL, Tag.WORSE})


@dataclass(frozen=True, slots=True)
class Span:
    """One row. Positions are of token ids in the whole trace."""

    problem_id: str
    solve_id: str
    attempt: int
    annotator: str
    tag: Tag
    begin: int
    end: int
    source: int | None
    reason: str

    @property
    def trace(self) -> tuple[str, int]:
        """What names the trace."""
        return self.solve_id, self.attempt


COLUMNS = tuple(field.name for field in fields(Span))


def read_spans(path: Path) -> list[Span]:
    """Return the rows of a `reflections.csv`.

    Raises:
        BadTraces: it cannot be read, or a row is malformed.
    """
    with reading(path, BadTraces):
        content = path.read_text(encoding="utf-8-sig")
    rows = csv.DictReader(content.splitlines(keepends=True))
    missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise BadTraces(f"{path}: lacks the columns {', '.join(missing)}")
    spans = []
    for number, row in enumerate(rows, start=2):
        try:
            spans.append(
                Span(
                    row["problem_id"], row["solve_id"], int(row["attempt"]), row["annotator"],
                    Tag(row["tag"]), int(row["begin"]), int(row["end"]),
                    int(row["source"]) if row["source"] else None, row["reason"],
                )
            )  # fmt: skip
        except (ValueError, TypeError) as error:
            raise BadTraces(f"{path}, line {number}: {error}; correct it") from None
    return spans


def write_spans(target: Path, spans: Iterable[Span]) -> None:
    """Write rows as CSV, whole or not at all."""
    with whole_file(target) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(asdict(span) for span in spans)


def faults(spans: Sequence[Span], lengths: dict[tuple[str, int], int]) -> list[str]:
    """Return what breaks the rules, a sentence each; `lengths` are the traces' token counts.

    Spans lie inside their trace; each has a reason; a mistake has its source, at or before it; an
    annotator gives a trace one final answer at most; where one continuation is better another is
    worse, of the same annotator at the same position.
    """
    found: list[str] = []
    finals: dict[tuple[str, int, str], int] = defaultdict(int)
    compared: dict[tuple[str, str, int], set[Tag]] = defaultdict(set)
    for number, span in enumerate(spans, start=2):
        place = f"line {number}: "
        found += [place + fault for fault in _faults_of(span, lengths.get(span.trace))]
        if span.tag is Tag.FINAL:
            finals[*span.trace, span.annotator] += 1
        if span.tag in COMPARED:
            compared[span.problem_id, span.annotator, span.begin].add(span.tag)
    found += [
        f"{solve}/{attempt}: {count} final answers by {who}; must be one"
        for (solve, attempt, who), count in finals.items()
        if count > 1
    ]
    found += [
        f"{problem}, position {begin}: {who} calls one continuation {tags.pop()} and none the "
        "opposite; better and worse go together"
        for (problem, who, begin), tags in (
            (key, tags & {Tag.BETTER, Tag.WORSE}) for key, tags in compared.items()
        )
        if len(tags) == 1
    ]
    return found


def _faults_of(span: Span, length: int | None) -> list[str]:
    found = []
    if length is None:
        return [f"no trace {span.solve_id}/{span.attempt}"]
    if not 0 <= span.begin < span.end <= length:
        found.append(f"span {span.begin}-{span.end} is not inside the trace's {length} tokens")
    if not span.reason.strip():
        found.append("no reason")
    if span.tag is Tag.MISTAKE and span.source is None:
        found.append("a mistake without its source")
    if span.source is not None and not 0 <= span.source <= span.begin:
        found.append(f"source {span.source} is not at or before the span's begin {span.begin}")
    return found


def agreement(spans: Sequence[Span], one: str, other: str) -> float | None:
    """Return Cohen's kappa of two annotators over the spans that both tagged; None without any."""
    tags: dict[str, dict[tuple[str, int, int, int], Tag]] = {one: {}, other: {}}
    for span in spans:
        if span.annotator in tags:
            tags[span.annotator][*span.trace, span.begin, span.end] = span.tag
    both = tags[one].keys() & tags[other].keys()
    if not both:
        return None
    count = len(both)
    same = sum(tags[one][each] == tags[other][each] for each in both) / count
    mine, theirs = (Counter(tags[who][each] for each in both) for who in (one, other))
    by_chance = sum(mine[tag] * theirs[tag] for tag in Tag) / (count * count)
    return 1.0 if by_chance == 1.0 else (same - by_chance) / (1 - by_chance)
