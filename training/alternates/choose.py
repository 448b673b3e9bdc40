"""Which positions of which traces get alternates: named ones first, then by divergence."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from training.alternates.boundaries import Paragraph, paragraphs
from training.alternates.divergence import Sibling, priorities, terms
from training.corpus.rules import reward_of
from training.errors import BadTraces
from training.traces.trace import Trace

#: What names a trace: its solve and its attempt.
TraceKey = tuple[str, int]
#: Characters of text before a position that are kept for whoever judges.
BEFORE_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Caps:
    """How many positions are chosen.

    `least_priority` leaves out those at which right and wrong siblings hardly part, unless a
    reflection names them; 0 leaves out none, but they come last.
    """

    per_trace: int = 4
    per_problem: int = 16
    in_all: int = 1_000
    least_priority: float = 0.0


@dataclass(frozen=True, slots=True)
class Chosen:
    """A position that was chosen."""

    trace: TraceKey
    problem: str
    paragraph: Paragraph
    before: str
    priority: float
    named: bool


@dataclass(frozen=True, slots=True)
class ReadTrace:
    """A trace as text, and as a sibling where its right answer is known."""

    key: TraceKey
    problem: str
    whole: str
    own: list[Paragraph]
    sibling: Sibling | None


def trace_key(trace: Trace) -> TraceKey:
    """Return what names a trace."""
    return str(trace.values.get("solve_id", "")), int(trace.values.get("attempt", 0))


def each_once(traces: Iterable[Trace]) -> Iterator[Trace]:
    """Yield traces; raises `BadTraces` at the second one of a name: nothing tells them apart."""
    seen: set[TraceKey] = set()
    for trace in traces:
        key = trace_key(trace)
        if key in seen:
            raise BadTraces(f"trace {key[0]}/{key[1]}: is there twice; give each trace once")
        seen.add(key)
        yield trace


def choose(
    reads: Iterable[ReadTrace], caps: Caps, named: Collection[tuple[str, int, int]] = ()
) -> list[Chosen]:
    """Return the positions that are chosen, best first.

    `named` are places (solve, attempt, position of an id) that a reflection names: each stands for
    the paragraph that it is in. Traces whose right answer is not known are nobody's siblings.
    """
    by_problem: dict[str, list[ReadTrace]] = defaultdict(list)
    for each in reads:
        by_problem[each.problem].append(each)
    marks: dict[TraceKey, list[int]] = defaultdict(list)
    for solve_id, attempt, position in named:
        marks[solve_id, attempt].append(position)
    candidates: list[Chosen] = []
    for problem, of_problem in by_problem.items():
        siblings = [each.sibling for each in of_problem if each.sibling is not None]
        for read in of_problem:
            found = priorities(read.own, siblings) if read.sibling else [0.0] * len(read.own)
            for paragraph, priority in zip(read.own, found, strict=True):
                inside = any(paragraph.begin <= mark < paragraph.end for mark in marks[read.key])
                if not inside and priority < caps.least_priority:
                    continue
                before = read.whole[max(paragraph.offset - BEFORE_CHARS, 0) : paragraph.offset]
                candidates.append(
                    Chosen(read.key, problem, paragraph, before, priority, named=inside)
                )
    candidates.sort(key=lambda each: (not each.named, -each.priority))
    return _capped(candidates, caps)


def read_trace(trace: Trace, texts: Sequence[str]) -> ReadTrace:
    """Return a trace as text; `texts` has what each of its ids adds."""
    reward = reward_of(trace)
    own = paragraphs(texts, trace.mask)
    sibling = None
    if reward is not None:
        sibling = Sibling(reward > 0, terms("\n".join(each.text for each in own)))
    return ReadTrace(trace_key(trace), trace.key, "".join(texts), own, sibling)


def _capped(candidates: Sequence[Chosen], caps: Caps) -> list[Chosen]:
    traces: Counter[TraceKey] = Counter()
    problems: Counter[str] = Counter()
    kept: list[Chosen] = []
    for each in candidates:
        if len(kept) == caps.in_all:
            break
        if traces[each.trace] < caps.per_trace and problems[each.problem] < caps.per_problem:
            traces[each.trace] += 1
            problems[each.problem] += 1
            kept.append(each)
    return kept
