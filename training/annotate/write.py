"""Reflections and comparisons by a model: asked, checked, asked again, counted."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from client.schema import LabelTag
from training.alternates.choose import trace_key
from training.alternates.record import Position
from training.annotate.endpoint import ChatEndpoint, Message
from training.annotate.judged import MOST_FAULTS, Judged, read_comparison, read_reflection
from training.annotate.passages import MOST_CHARS, Passages
from training.annotate.prompts import Wording, wording
from training.annotate.reflections import Span, write_spans
from training.errors import BadTraces, EmptyCorpus, writing
from training.files import append_line, read_lines, whole_folder
from training.parallel import run_all
from training.traces.trace import Trace

REFLECTIONS, REPLIES, ORIGIN = "reflections.csv", "replies.jsonl", "reflections.json"
#: Places that the prompts must have.
REFLECTION_PLACES = frozenset({"problem", "passages"})
COMPARISON_PLACES = frozenset({"problem", "before", "continuations"})

#: Is told how many items of how many are done, and how many of them are valid.
Observe = Callable[[int, int, int], None]


@dataclass(frozen=True, slots=True)
class Writing:
    """How annotations are written.

    `tries` are asked at most of each item; `parallel` items are at work at a time.
    """

    annotator: str
    reflection: Wording
    comparison: Wording
    tries: int = 3
    parallel: int = 4
    most_spans: int = 12
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """Return what may change the result, for the record of where it comes from."""
        told = asdict(self)
        for prompt in (self.reflection, self.comparison):
            told[f"{'reflection' if prompt is self.reflection else 'comparison'}_sha256"] = (
                prompt.sha256
            )
        return told


@dataclass(frozen=True, slots=True)
class Item:
    """Something to be annotated: its name, its prompt, and how a reply is read."""

    name: str
    prompt: str
    read: Callable[[str], Judged]


@dataclass(slots=True)
class Figures:
    """What became of the items."""

    items: int = 0
    valid: int = 0
    asked_again: int = 0
    spans: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    def take(self, line: dict[str, Any]) -> None:
        """Count an item."""
        self.items += 1
        self.valid += line["valid"]
        self.asked_again += line["tries"] > 1
        self.spans += len(line["spans"])
        self.prompt_tokens += line["prompt_tokens"]
        self.completion_tokens += line["completion_tokens"]
        self.faults.update(line["told"])

    def told(self) -> dict[str, Any]:
        """Return them for the record."""
        return {**asdict(self), "faults": dict(self.faults.most_common(20))}


def reflection(trace: Trace, texts: Sequence[str], plan: Writing) -> Item:
    """Return what is asked about a trace; `texts` has what each of its ids adds to the text."""
    passages = Passages(trace, texts)
    values = {
        "problem": trace.text_of("problem") or "not stated",
        "truth": trace.text_of("truth") or "not known",
        "answer": trace.text_of("answer") or "none",
        "passages": passages.shown(MOST_CHARS),
        "most": str(plan.most_spans),
    }
    solve_id, attempt = trace_key(trace)

    def read(reply: str) -> Judged:
        return read_reflection(reply, trace, passages, plan.annotator, plan.most_spans)

    return Item(f"{solve_id}/{attempt}", plan.reflection.fill(values), read)


def comparisons(positions: Sequence[Position], plan: Writing) -> list[Item]:
    """Return what is asked about each position, its continuations in an order of chance."""
    return [_comparison(position, plan) for position in positions]


def _comparison(position: Position, plan: Writing) -> Item:
    order: list[int | None] = [None, *(each.alternate for each in position.alternates)]
    name = f"{position.solve_id}/{position.attempt}/{position.begin}"
    random.Random(f"{plan.seed}/{name}").shuffle(order)
    text: dict[int | None, str] = {None: position.own}
    text |= {each.alternate: each.text for each in position.alternates}
    shown = [
        f"Continuation {number}:\n{text[which].strip()}" for number, which in enumerate(order, 1)
    ]
    values = {
        "problem": position.problem or "not stated",
        "truth": position.truth or "not known",
        "before": position.before,
        "continuations": "\n\n".join(shown),
        "count": str(len(order)),
    }

    def read(reply: str) -> Judged:
        return read_comparison(reply, position, order, plan.annotator)

    return Item(name, plan.comparison.fill(values), read)


async def write(
    items: Sequence[Item],
    endpoint: ChatEndpoint,
    target: Path,
    plan: Writing,
    told: dict[str, Any],
    observe: Observe | None = None,
) -> dict[str, Any]:
    """Write the folder `target` with the spans of all replies that keep the rules; return figures.

    Stopped, the same call goes on with the items that are not done. `told` is the provenance.

    Raises:
        ServiceFailed: the endpoint refuses, or is gone for long.
        EmptyCorpus: there is nothing to annotate, or no reply keeps the rules.
        OutputExists, OutputFailed: the folder cannot be written.
    """
    if not items:
        raise EmptyCorpus(f"{target}: there is nothing to annotate; give traces or alternates")
    twice = [name for name, count in Counter(item.name for item in items).items() if count > 1]
    if twice:
        raise BadTraces(f"{twice[0]}: is there twice; give each trace or position once")
    job = {name: told[name] for name in ("settings", "inputs")}
    with whole_folder(target, job) as work:
        lines = work / REPLIES
        done = {line["item"]: line for line in read_lines(lines)}
        figures = Figures()
        for line in done.values():
            figures.take(line)

        async def run(item: Item) -> None:
            line = await _written(item, endpoint, plan.tries)
            with writing(lines):
                append_line(lines, line)
            done[item.name] = line
            figures.take(line)
            if observe is not None:
                observe(figures.items, len(items), figures.valid)

        waiting = [partial(run, item) for item in items if item.name not in done]
        await run_all(waiting, plan.parallel)
        if not figures.valid:
            (fault, _), *_ = figures.faults.most_common(1) or [("no reply", 1)]
            raise EmptyCorpus(
                f"{target}: none of {len(items)} replies keeps the rules ({fault}); their texts "
                f"are in {lines}: ask another model, or change the prompt"
            )
        spans = [_span(span) for item in items for span in done[item.name]["spans"]]
        write_spans(work / REFLECTIONS, spans)
        told["figures"] = figures.told()
        (work / ORIGIN).write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))
    return figures.told()


async def _written(item: Item, endpoint: ChatEndpoint, tries: int) -> dict[str, Any]:
    """Ask until a reply keeps the rules; return the line that is kept of it."""
    again = wording("again")
    messages: list[Message] = [{"role": "user", "content": item.prompt}]
    told: list[str] = []
    prompt_tokens = completion_tokens = 0
    number = 0
    while True:
        number += 1
        reply = await endpoint.reply(messages)
        prompt_tokens += reply.prompt_tokens
        completion_tokens += reply.completion_tokens
        judged = item.read(reply.text)
        told += sorted({_kind(fault) for fault in judged.faults})
        if not judged.faults or number == tries:
            break
        faults = "\n".join(f"- {fault}" for fault in judged.faults[:MOST_FAULTS])
        messages = [
            messages[0],
            {"role": "assistant", "content": reply.text},
            {"role": "user", "content": again.fill({"faults": faults})},
        ]
    return {
        "item": item.name, "valid": not judged.faults, "tries": number, "told": told,
        "faults": judged.faults, "summary": judged.summary, "reply": reply.text,
        "prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens,
        "spans": [] if judged.faults else [asdict(span) for span in judged.spans],
    }  # fmt: skip


def _span(row: dict[str, Any]) -> Span:
    return Span(**{**row, "tag": LabelTag(row["tag"])})


def _kind(fault: str) -> str:
    """Return a fault without its place and its values, to be counted."""
    words = fault.partition(": ")[2] or fault
    return " ".join(word for word in words.split()[:8] if not any(map(str.isdigit, word)))
