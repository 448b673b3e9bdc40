"""A model's replies as rows of `reflections.csv`: read, checked by the rules, faults in words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from client.schema import COMPARED_TAGS, LabelTag
from training.alternates.choose import trace_key
from training.alternates.record import Position
from training.annotate.passages import Passages
from training.annotate.reflections import Span, faults
from training.traces.trace import Trace

_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
#: Some chat templates write a thought's beginning, so that a reply has only its end.
_THOUGHT_END = "</think>"
#: Faults that are told to the model at once.
MOST_FAULTS = 10


@dataclass(slots=True)
class Judged:
    """What a reply says; it counts only without faults."""

    spans: list[Span] = field(default_factory=list)
    summary: str = ""
    faults: list[str] = field(default_factory=list)


def read_reflection(
    reply: str, trace: Trace, passages: Passages, annotator: str, most: int
) -> Judged:
    """Return the spans of a reply about a trace, and what is wrong with it."""
    judged = Judged()
    told = _object(reply, "spans", judged)
    rows = told.get("spans") if told else None
    if not isinstance(rows, list):
        return judged
    judged.summary = str(told.get("summary") or "") if told else ""
    if len(rows) > most:
        judged.faults.append(f"{len(rows)} spans: must be at most {most}")
    for number, row in enumerate(rows, start=1):
        span = _span(row, number, trace, passages, annotator, judged)
        if span is not None:
            judged.spans.append(span)
    if not judged.faults:
        lengths = {trace_key(trace): len(trace.ids)}
        judged.faults += faults(judged.spans, lengths)
    return judged


def _span(
    row: object, number: int, trace: Trace, passages: Passages, annotator: str, judged: Judged
) -> Span | None:
    place = f"span {number}: "
    if not isinstance(row, dict):
        judged.faults.append(place + "must be an object")
        return None
    tag = _tag(row.get("tag"), frozenset(LabelTag) - COMPARED_TAGS)
    if tag is None:
        judged.faults.append(place + f"tag {row.get('tag')!r} is not one of those given")
        return None
    passage, quote = _number(row.get("passage")), str(row.get("quote") or "")
    ids = None if passage is None else passages.place(passage, quote)
    if passage is None or ids is None:
        whole = None if passage is None else passages.place(passage)
        what = f"quote {quote[:80]!r} is not in passage {passage}, word for word"
        judged.faults.append(
            place + (what if whole else f"there is no passage {row.get('passage')!r}")
        )
        return None
    source = _source(row, place, passages, judged) if tag is LabelTag.MISTAKE else None
    solve_id, attempt = trace_key(trace)
    return Span(
        trace.key, solve_id, attempt, annotator, tag, ids[0], ids[1],
        None if source is None else min(source, ids[0]), str(row.get("reason") or ""),
    )  # fmt: skip


def _source(row: dict[str, Any], place: str, passages: Passages, judged: Judged) -> int | None:
    number, passage = _number(row.get("source")), _number(row.get("passage")) or 0
    found = None if number is None or number > passage else passages.place(number)
    if found is None:
        judged.faults.append(
            place + f"source {row.get('source')!r}: a mistake must have the number of the passage "
            "where it comes from, at or before its own"
        )
        return None
    return found[0]


def read_comparison(
    reply: str, position: Position, order: Sequence[int | None], annotator: str
) -> Judged:
    """Return the verdicts of a reply about continuations; `order` is how they were numbered."""
    judged = Judged()
    told = _object(reply, "verdicts", judged)
    rows = told.get("verdicts") if told else None
    if not isinstance(rows, list):
        return judged
    said: dict[int, Span] = {}
    for number, row in enumerate(rows, start=1):
        place = f"verdict {number}: "
        which = _number(row.get("continuation")) if isinstance(row, dict) else None
        tag = _tag(row.get("verdict"), COMPARED_TAGS) if isinstance(row, dict) else None
        if which is None or not 1 <= which <= len(order) or which in said or tag is None:
            judged.faults.append(
                place + f"must name one of the continuations 1 to {len(order)}, each once, and a "
                "verdict: better, neutral or worse"
            )
            continue
        alternate = order[which - 1]
        length = position.length(alternate) or 0
        said[which] = Span(
            position.problem_id, position.solve_id, position.attempt, annotator, tag,
            position.begin, position.begin + length, None, str(row.get("reason") or ""), alternate,
        )  # fmt: skip
    missing = [str(number) for number in range(1, len(order) + 1) if number not in said]
    if missing:
        judged.faults.append(f"no verdict on continuation {', '.join(missing)}")
    judged.spans = list(said.values())
    if not judged.faults:
        lengths = {position.trace: position.end}
        judged.faults += faults(judged.spans, lengths, {position.key: position})
    return judged


def _object(reply: str, needed: str, judged: Judged) -> dict[str, Any] | None:
    """Return the JSON object in a reply that may have thoughts or a fence around it."""
    whole, fault = _THOUGHT.sub("", reply), ""
    # as it stands first: what is quoted of an attempt may have the end of a thought in it
    for text in (whole, whole.rpartition(_THOUGHT_END)[2]):
        begin, end = text.find("{"), text.rfind("}")
        try:
            told = orjson.loads(text[begin : end + 1]) if 0 <= begin < end else None
        except orjson.JSONDecodeError as error:
            fault = f"not JSON: {error}"
            continue
        if isinstance(told, dict) and isinstance(told.get(needed), list):
            return told
        fault = f"must be one JSON object with a list of {needed}"
    judged.faults.append(fault)
    return None


def _tag(value: object, allowed: frozenset[LabelTag]) -> LabelTag | None:
    try:
        tag = LabelTag(str(value).strip().lower())
    except ValueError:
        return None
    return tag if tag in allowed else None


def _number(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        return int(value)
    except ValueError:
        return None
