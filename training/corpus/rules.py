"""Which traces become entries of a corpus, and why the others do not."""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, zip_longest

from client.schema import AttemptEnd
from training.corpus.sketches import Neighbours, Sketch, overlap
from training.traces.trace import Trace
from training.verdicts import compared
from voting.exact import Comparison

#: Limits of the platforms that take such corpora, by the issue that asked for this format.
MOST_CHARACTERS = 100_000
MOST_ENTRIES = 5_000_000
#: Ends that are not the model's doing: that such an attempt has no answer says nothing of it.
NOT_ITS_OWN = frozenset(
    {
        AttemptEnd.DEADLINE, AttemptEnd.EARLY_STOP, AttemptEnd.CANCELLED, AttemptEnd.ENGINE_LOST,
        AttemptEnd.ENGINE_ERROR, AttemptEnd.SANDBOX_ERROR, AttemptEnd.FAILED,
    }
)  # fmt: skip


class Kind(StrEnum):
    """What an entry is."""

    COT = "cot"
    """A whole attempt without programs."""
    TIR = "tir"
    """A whole attempt with programs; their results are not trained."""
    GENSELECT = "genselect"
    """A choice among candidate solutions."""
    PREFERRED = "preferred"
    """A continuation that annotators prefer to another."""


class Order(StrEnum):
    """Which traces of a problem come first when not all are taken."""

    SHORTEST = "shortest"
    LONGEST = "longest"
    RANDOM = "random"
    FIRST = "first"


@dataclass(frozen=True, slots=True)
class Rules:
    """How traces are chosen.

    `least_reward`: 1 takes right answers only, 0 wrong ones as well. `most_overlap` is the share of
    16-id shingles that two chosen traces of a problem may have in common, `most_overlap_across` any
    two. `per_cluster` caps the entries of problems that are nearly the same. Lengths are in tokens
    of the whole trace. `kinds` are those that are wanted; none: all.
    """

    least_reward: float = 1.0
    shortest: int = 1
    longest: int | None = None
    per_problem: int | None = None
    order: Order = Order.SHORTEST
    per_cluster: int | None = None
    most_overlap: float = 1.0
    most_overlap_across: float = 1.0
    most_tool_errors: int | None = None
    most_characters: int = MOST_CHARACTERS
    seed: int = 0
    kinds: tuple[Kind, ...] = ()

    def wants(self, kind: Kind) -> bool:
        """Return whether entries of a kind are wanted."""
        return not self.kinds or kind in self.kinds

    @property
    def judge_novelty(self) -> bool:
        """Whether sketches of traces are needed."""
        return min(self.most_overlap, self.most_overlap_across) < 1.0


@dataclass(slots=True)
class Candidate:
    """What is known of a trace without its tokens. `reason` says why it is in or out.

    `cut` is what ended it where that was not the model's doing, and empty elsewhere; `is_open` says
    that its answer may be the right one or not.
    `prompt` and `digest` are hashes of the prompt, and of all of it. `overlap` is the most that it
    has in common with an entry that was taken before it; None where nobody asks.
    """

    number: int
    key: str
    kind: Kind
    prompt: bytes
    digest: bytes
    tokens: int
    sampled: int
    reward: float | None
    tool_calls: int
    tool_errors: int
    complete: bool
    sketch: Sketch
    cut: str = ""
    is_open: bool = False
    characters: int | None = None
    included: bool = False
    reason: str = ""
    overlap: float | None = None


def choose(
    candidates: Sequence[Candidate], rules: Rules, clusters: Mapping[str, str] | None = None
) -> None:
    """Mark which candidates are included, and why or why not.

    `clusters` names the cluster of each problem that has others like it.
    """
    fit: list[Candidate] = []
    seen: set[bytes] = set()
    for candidate in candidates:
        candidate.reason = unfit(candidate, rules)
        if not candidate.reason and candidate.digest in seen:
            candidate.reason = "duplicate"
        if not candidate.reason:
            seen.add(candidate.digest)
            fit.append(candidate)
    choice = _Choice(fit, rules)
    for cluster in _clustered(fit, clusters or {}):
        in_turn = zip_longest(*(_ordered(of_problem, rules) for of_problem in cluster))
        choice.of_cluster(each for each in chain.from_iterable(in_turn) if each is not None)


def _clustered(
    fit: Sequence[Candidate], clusters: Mapping[str, str]
) -> list[list[list[Candidate]]]:
    """Return the candidates by problem, and these by cluster; most have one problem."""
    found: dict[tuple[str, bool], dict[str, list[Candidate]]] = defaultdict(dict)
    for each in fit:
        # a choice among solutions is another task than a solution
        cluster = clusters.get(each.key, each.key), each.kind is Kind.GENSELECT
        found[cluster].setdefault(each.key, []).append(each)
    return [list(by_problem.values()) for by_problem in found.values()]


def unfit(candidate: Candidate, rules: Rules) -> str:
    """Return why a trace cannot be taken whatever the others are; empty: it can."""
    checks: tuple[tuple[bool, str], ...] = (
        (not candidate.complete, "incomplete: tokens are missing"),
        (bool(candidate.cut), f"not ended by the model: {candidate.cut}"),
        (not rules.wants(candidate.kind), f"a {candidate.kind} entry"),
        (candidate.sampled == 0, "nothing sampled: its mask is all zero"),
        (
            rules.least_reward > 0 and candidate.is_open,
            "not judged: arithmetic does not tell whether its answer is right",
        ),
        (
            rules.least_reward > 0 and candidate.reward is None,
            "no reward: its right answer is not known",
        ),
        ((candidate.reward or 0.0) < rules.least_reward, "wrong answer"),
        (candidate.tokens < rules.shortest, f"under {rules.shortest} tokens"),
        (
            rules.longest is not None and candidate.tokens > rules.longest,
            f"over {rules.longest} tokens",
        ),
        (
            rules.most_tool_errors is not None and candidate.tool_errors > rules.most_tool_errors,
            f"over {rules.most_tool_errors} errors in code",
        ),
        (
            (candidate.characters or 0) > rules.most_characters,
            f"over {rules.most_characters} characters",
        ),
    )
    return next((reason for failed, reason in checks if failed), "")


class _Choice:
    """What is taken so far."""

    def __init__(self, fit: Sequence[Candidate], rules: Rules) -> None:
        self._rules = rules
        self._places = {each.number: place for place, each in enumerate(fit)}
        self._known: Neighbours | None = None
        if rules.most_overlap_across < 1.0:
            self._known = Neighbours([each.sketch for each in fit], rules.most_overlap_across)

    def of_cluster(self, candidates: Iterable[Candidate]) -> None:
        """Take of a cluster's candidates what the rules leave, in their order."""
        rules, taken = self._rules, Counter[str]()
        sketches: dict[str, list[Sketch]] = defaultdict(list)
        for each in candidates:
            if rules.per_problem is not None and taken[each.key] >= rules.per_problem:
                each.reason = f"over {rules.per_problem} of its problem"
            elif rules.per_cluster is not None and taken.total() >= rules.per_cluster:
                each.reason = f"over {rules.per_cluster} of problems that are nearly the same"
            elif self._is_new(each, sketches[each.key]):
                each.included = True
                each.reason = _IN[each.reward]
                taken[each.key] += 1
                sketches[each.key].append(each.sketch)
                if self._known is not None:
                    self._known.take(self._places[each.number])

    def _is_new(self, candidate: Candidate, of_problem: Sequence[Sketch]) -> bool:
        """Return whether a candidate has little in common with what is taken, or say why not."""
        rules = self._rules
        if rules.most_overlap < 1.0:
            shares = (overlap(candidate.sketch, each) for each in of_problem)
            candidate.overlap = max(shares, default=0.0)
            if candidate.overlap > rules.most_overlap:
                candidate.reason = f"over {rules.most_overlap:g} in common with a chosen one"
                return False
        if self._known is not None:
            share, _ = self._known.nearest(self._places[candidate.number])
            candidate.overlap = max(share, candidate.overlap or 0.0)
            if share > rules.most_overlap_across:
                candidate.reason = (
                    f"over {rules.most_overlap_across:g} in common with a chosen one of any problem"
                )
                return False
        return True


def _ordered(candidates: list[Candidate], rules: Rules) -> list[Candidate]:
    match rules.order:
        case Order.SHORTEST:
            return sorted(candidates, key=lambda each: (each.sampled, each.number))
        case Order.LONGEST:
            return sorted(candidates, key=lambda each: (-each.sampled, each.number))
        case Order.FIRST:
            return candidates
        case Order.RANDOM:
            mixed = list(candidates)
            random.Random(f"{rules.seed}/{candidates[0].key}").shuffle(mixed)
            return mixed


#: Why a trace is in, by its reward.
_IN = {1.0: "right answer", 0.0: "wrong answer", None: "not judged"}
_REWARDS = {Comparison.SAME: 1.0, Comparison.DIFFERENT: 0.0, Comparison.UNKNOWN: None}


def cut_by(trace: Trace) -> str:
    """Return what ended an attempt where that was not the model's doing; empty: it was."""
    end = trace.text_of("end")
    if end is None:  # other tools do not say; a journal's row without one was never ended
        return "unfinished" if trace.text_of("role") is not None else ""
    return end if end in NOT_ITS_OWN else ""


def reward_of(trace: Trace) -> float | None:
    """Return 1 for the right answer and 0 for a wrong one or none.

    None where the right one is not known, where the model could not finish, and where arithmetic
    does not tell whether its answer is the right one: such a trace is not judged.
    """
    truth, answer = trace.text_of("truth"), trace.text_of("answer")
    if truth is None or cut_by(trace):
        return None
    return 0.0 if answer is None else _REWARDS[compared(answer, truth)]


def is_open(trace: Trace) -> bool:
    """Return whether a trace has a reward of None for want of more than arithmetic alone."""
    known = trace.text_of("truth") is not None and not cut_by(trace)
    return known and reward_of(trace) is None
