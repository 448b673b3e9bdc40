"""Continuations that annotators prefer, and their opposites, as entries and pairs."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from client.schema import LabelTag
from training.alternates.choose import TraceKey, trace_key
from training.alternates.record import Position, read_positions
from training.annotate.reflections import Span, faults, read_spans
from training.corpus.rules import Kind, Rules
from training.corpus.store import Entry
from training.errors import BadTraces
from training.text import Decoder
from training.traces.trace import Ids, Trace

Key = tuple[str, int, int]


@dataclass(slots=True)
class Choice:
    """A continuation of a position: the one that is preferred, or its opposite.

    `alternate` is None for the trace's own. `number` is the entry's; `reason` the annotators'.
    """

    position: Position
    alternate: int | None
    preferred: bool
    reason: str
    number: int = -1
    fits: bool = False
    """Whether its trace was seen, and it is not too long."""


@dataclass(slots=True)
class Continuations:
    """What is taken of the alternates that were compared, by trace.

    `pairs` are a preferred choice and a rejected one of the same position; `reasons` count why
    positions are in or out.
    """

    by_trace: dict[TraceKey, list[Choice]] = field(default_factory=lambda: defaultdict(list))
    pairs: list[tuple[Choice, Choice]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def preferred(self) -> int:
        """How many continuations are trained on."""
        return sum(each.preferred for choices in self.by_trace.values() for each in choices)

    def see(self, trace: Trace, decoder: Decoder | None, rules: Rules) -> None:
        """Take a trace that is complete: continuations of others cannot be taken."""
        for entry, choice in self.of(trace):
            characters = 0
            if decoder is not None:
                characters = len(decoder.decode([*entry.prompt.tolist(), *entry.ids.tolist()]))
            choice.fits = characters <= rules.most_characters

    def settle(self, first: int) -> None:
        """Leave out the positions that do not fit, and number the entries from `first` on."""
        out: set[Key] = set()
        for choices in self.by_trace.values():
            out |= {each.position.key for each in choices if not each.fits}
        self.reasons["position: preferred by annotators"] -= len(out)
        self.reasons["position: its trace is not there or incomplete, or it is too long"] += len(
            out
        )
        self.reasons = +self.reasons
        self.pairs = [pair for pair in self.pairs if pair[0].position.key not in out]
        number = first
        for key in list(self.by_trace):
            kept = [each for each in self.by_trace[key] if each.position.key not in out]
            self.by_trace[key] = kept
            for each in kept:
                each.number = number
                number += 1

    def of(self, trace: Trace) -> Iterator[tuple[Entry, Choice]]:
        """Yield the entries of a trace; their prompts are stored as one."""
        choices = self.by_trace.get(trace_key(trace), ())
        longest = max((each.position.begin for each in choices), default=0)
        base = trace.ids[:longest]
        for choice in choices:
            yield _entry(trace, choice, base), choice


def read_continuations(
    alternates: Sequence[Path],
    reflections: Sequence[Path],
    rules: Rules,
    *,
    excluded: frozenset[str] = frozenset(),
) -> Continuations:
    """Return the continuations that annotators prefer, and their opposites.

    Annotators vote; a continuation without a majority of better or of worse is left out, and so is
    a position that has not one of each.

    Raises:
        BadTraces: a file cannot be read, or what was said breaks the rules.
    """
    positions: dict[Key, Position] = {}
    for path in alternates:
        for each in read_positions(path):
            if each.key in positions:
                raise BadTraces(
                    f"{path}: position {each.begin} of {each.solve_id}/{each.attempt} is in two "
                    "files; give each once"
                )
            positions[each.key] = each
    said: dict[Key, list[Span]] = defaultdict(list)
    for path in reflections:
        for span in read_spans(path):
            if span.tag in _VOTES and (*span.trace, span.begin) in positions:
                said[*span.trace, span.begin].append(span)
    ends = {each.trace: each.end for each in sorted(positions.values(), key=lambda one: one.end)}
    wrong = faults([span for spans in said.values() for span in spans], ends, positions)
    if wrong:
        raise BadTraces(f"comparisons: {wrong[0].partition(': ')[2] or wrong[0]}; correct them")
    found = Continuations()
    _take(found, positions, said, rules, excluded)
    return found


_VOTES = {LabelTag.BETTER: 1, LabelTag.NEUTRAL: 0, LabelTag.WORSE: -1}


def _take(
    found: Continuations,
    positions: dict[Key, Position],
    said: dict[Key, list[Span]],
    rules: Rules,
    excluded: frozenset[str],
) -> None:
    counts: Counter[str] = Counter()
    for key, position in positions.items():
        better, worse = _verdicts(position, said.get(key, []))
        if position.problem_id in excluded:
            reason = "its problem is excluded"
        elif not said.get(key):
            reason = "compared by nobody"
        elif not better or not worse:
            reason = "no majority for a better and a worse one"
        elif rules.per_problem is not None and counts[position.problem_id] >= rules.per_problem:
            reason = f"over {rules.per_problem} of its problem"
        else:
            reason = "preferred by annotators"
            counts[position.problem_id] += 1
            found.by_trace[position.trace] += [*better, *worse]
            found.pairs += [(one, other) for one in better for other in worse]
        found.reasons[f"position: {reason}"] += 1


def _verdicts(position: Position, spans: Sequence[Span]) -> tuple[list[Choice], list[Choice]]:
    votes: Counter[int | None] = Counter()
    reasons: dict[int | None, list[str]] = defaultdict(list)
    for span in spans:
        votes[span.alternate] += _VOTES[span.tag]
        reasons[span.alternate].append(" ".join(span.reason.split()))
    better: list[Choice] = []
    worse: list[Choice] = []
    for alternate, vote in votes.items():
        if vote:
            choice = Choice(position, alternate, vote > 0, "; ".join(reasons[alternate]))
            (better if vote > 0 else worse).append(choice)
    return better, worse


def _entry(trace: Trace, choice: Choice, base: Ids) -> Entry:
    position = choice.position
    if position.end > len(trace.ids):
        raise BadTraces(
            f"alternates of {position.solve_id}/{position.attempt}: position {position.begin} is "
            f"not inside the trace's {len(trace.ids)} tokens; give the traces they were made of"
        )
    if choice.alternate is None:
        ids = trace.ids[position.begin : position.end]
    else:
        found = next(a for a in position.alternates if a.alternate == choice.alternate)
        ids = np.asarray(found.ids, np.uint32)
    return Entry(
        number=choice.number,
        problem_id=trace.key,
        kind=Kind.PREFERRED.value,
        prompt=trace.ids[: position.begin],
        base=base,
        ids=ids,
        mask=np.ones(len(ids), np.uint8),
        trained=choice.preferred,
        source=trace.text_of("source"),
        licence=trace.text_of("licence"),
        model=position.model or trace.text_of("model"),
        solve_id=position.solve_id,
        attempt=position.attempt,
    )
