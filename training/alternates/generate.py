"""Continuations over a server: several from each chosen position, to the end of the paragraph.

All of one position are asked for in one request, with the trace's own ids as the prompt; positions
of a trace go from front to back. So a position's prompt is in the engine's prefix cache but for
what came since the last one.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from client.http import AsyncQuorumClient
from client.schema import CompletionChoice, CompletionRequest
from training.alternates.boundaries import BOUNDARY
from training.alternates.choose import (
    Caps,
    Chosen,
    TraceKey,
    choose,
    each_once,
    read_trace,
    trace_key,
)
from training.alternates.record import Alternate, AlternateEnd, Position
from training.errors import EmptyCorpus, writing
from training.files import append_line, read_lines, whole_folder
from training.parallel import run_all
from training.provenance import provenance
from training.served import ServedModel
from training.traces.answers import Answers, traces_with
from training.traces.trace import Trace

ALTERNATES, ORIGIN = "alternates.jsonl", "alternates.json"
#: Seeds of positions are this far apart: continuation `i` samples with the position's seed plus i.
_SEEDS = 100

#: Is told how many positions of how many are done.
Observe = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How continuations are made: `count` of each position, `parallel` traces at a time."""

    count: int = 3
    caps: Caps = field(default_factory=Caps)
    temperature: float = 0.8
    max_tokens: int = 512
    parallel: int = 2
    seed: int = 0
    logprobs: bool = True


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of the traces beside them: places that reflections name, right answers."""

    named: frozenset[tuple[str, int, int]] = frozenset()
    answers: Answers = field(default_factory=Answers)


async def generate(
    url: str,
    sources: Sequence[Path],
    target: Path,
    plan: Plan,
    *,
    known: Told | None = None,
    observe: Observe | None = None,
) -> dict[str, int]:
    """Write the folder `target` with the alternates of traces; return its figures.

    Stopped, the same call goes on with the positions that are not done.

    Raises:
        QuorumClientError: the server refuses, or is gone for long.
        BadTraces: a source cannot be read, or a trace is there twice.
        EmptyCorpus: no trace has a position that is wanted.
        OutputExists, OutputFailed: the folder cannot be written.
    """
    known = known or Told()
    settings = {"plan": asdict(plan), "named": sorted(known.named), "truths": known.answers.by_id}
    told = provenance("alternates", {**settings, "url": url}, sources)
    # the server may have moved when the job goes on
    job = {"settings": settings, "inputs": told["inputs"]}
    with whole_folder(target, job) as work:
        async with AsyncQuorumClient(url) as client:
            model = ServedModel(client)
            reads = [
                read_trace(trace, await model.texts(trace.ids.tolist()))
                for trace in each_once(traces_with(sources, known.answers))
            ]
            chosen = choose(reads, plan.caps, known.named)
            del reads
            if not chosen:
                raise EmptyCorpus(
                    f"{target}: no trace has a paragraph that is wanted; lower --least-priority, "
                    "or give traces of problems with right and wrong attempts"
                )
            writer = _Writer(work, len(chosen), observe)
            traces = traces_with(sources, known.answers)
            await _continue_all(model, traces, chosen, plan, writer)
        figures = writer.figures()
        told["figures"] = figures
        with writing(work):
            (work / ORIGIN).write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))
    return figures


async def _continue_all(
    model: ServedModel,
    traces: Iterable[Trace],
    chosen: Sequence[Chosen],
    plan: Plan,
    writer: "_Writer",
) -> None:
    """Go on from all positions that are not done, some traces at a time."""
    wanted: dict[TraceKey, list[tuple[int, Chosen]]] = defaultdict(list)
    for number, each in enumerate(chosen):
        if (*each.trace, each.paragraph.begin) not in writer.done:
            wanted[each.trace].append((number, each))

    async def run(trace: Trace, places: list[tuple[int, Chosen]]) -> None:
        for number, each in sorted(places, key=lambda place: place[1].paragraph.begin):
            writer.add(await _position(model, trace, each, plan, number))

    jobs = [
        partial(run, trace, wanted.pop(trace_key(trace)))
        for trace in traces
        if trace_key(trace) in wanted
    ]
    await run_all(jobs, plan.parallel)


async def _position(
    model: ServedModel, trace: Trace, chosen: Chosen, plan: Plan, number: int
) -> Position:
    paragraph = chosen.paragraph
    seed = plan.seed + number * _SEEDS
    request = CompletionRequest(
        prompt=trace.ids[: paragraph.begin].tolist(),
        n=plan.count,
        max_tokens=plan.max_tokens,
        temperature=plan.temperature,
        seed=seed,
        stop=[BOUNDARY],
        include_stop_str_in_output=True,
        skip_special_tokens=False,
        logprobs=0 if plan.logprobs else None,
    )
    choices = await model.complete(request)
    seen = {tuple(trace.ids[paragraph.begin : paragraph.end].tolist())}
    alternates = []
    for index, choice in enumerate(choices):
        ids = tuple(choice.token_ids or ())
        if ids and choice.text.strip() and ids not in seen:
            seen.add(ids)
            alternates.append(_alternate(index, choice, seed))
    values = trace.values
    return Position(
        problem_id=trace.key,
        problem=trace.text_of("problem") or "",
        truth=trace.text_of("truth"),
        solve_id=chosen.trace[0],
        attempt=chosen.trace[1],
        answer=trace.text_of("answer"),
        begin=paragraph.begin,
        end=paragraph.end,
        before=chosen.before,
        own=paragraph.text,
        priority=chosen.priority,
        named=chosen.named,
        temperature=plan.temperature,
        model=str(values.get("model") or ""),
        alternates=alternates,
    )


def _alternate(index: int, choice: CompletionChoice, seed: int) -> Alternate:
    end = AlternateEnd.LENGTH
    if choice.stop_reason == BOUNDARY:
        end = AlternateEnd.BOUNDARY
    elif choice.finish_reason == "stop":
        end = AlternateEnd.TURN
    return Alternate(
        alternate=index,
        ids=list(choice.token_ids or ()),
        text=choice.text,
        end=end,
        seed=seed + index,
        logprobs=None if choice.logprobs is None else choice.logprobs.token_logprobs,
    )


class _Writer:
    """Appends positions as they are done; what a stopped job had done is kept."""

    def __init__(self, folder: Path, total: int, observe: Observe | None) -> None:
        self._path = folder / ALTERNATES
        self._total = total
        self._observe = observe
        self.done: set[tuple[str, int, int]] = set()
        self._alternates = 0
        for line in read_lines(self._path):
            self._note(line)

    def _note(self, line: dict[str, Any]) -> None:
        self.done.add((line["solve_id"], line["attempt"], line["begin"]))
        self._alternates += len(line["alternates"])

    def add(self, position: Position) -> None:
        """Write a position; one without another continuation than its own as well."""
        line = position.row()
        with writing(self._path):
            append_line(self._path, line)
        self._note(line)
        if self._observe is not None:
            self._observe(len(self.done), self._total)

    def figures(self) -> dict[str, int]:
        """Return how many positions and alternates there are."""
        return {"positions": len(self.done), "alternates": self._alternates}
