"""Which traces become entries of a corpus, and why the others do not."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from training.traces.trace import Ids, Trace

#: Limits of the platforms that take such corpora, by the issue that asked for this format.
MOST_CHARACTERS = 100_000
MOST_ENTRIES = 5_000_000
#: Ids of a shingle: about a line of text.
SHINGLE = 16
#: Shingles kept of each trace; the share of common ones is then right to about 3 %.
SKETCH = 256


class Kind(StrEnum):
    """What an entry is."""

    COT = "cot"
    """A whole attempt, all of it the model's."""
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
    16-id shingles that two chosen traces of a problem may have in common. Lengths are in tokens of
    the whole trace. `kinds` are those that are wanted; none: all.
    """

    least_reward: float = 1.0
    shortest: int = 1
    longest: int | None = None
    per_problem: int | None = None
    order: Order = Order.SHORTEST
    most_overlap: float = 1.0
    most_tool_errors: int | None = None
    most_characters: int = MOST_CHARACTERS
    seed: int = 0
    kinds: tuple[Kind, ...] = ()

    def wants(self, kind: Kind) -> bool:
        """Return whether entries of a kind are wanted."""
        return not self.kinds or kind in self.kinds


@dataclass(slots=True)
class Candidate:
    """What is known of a trace without its tokens. `reason` says why it is in or out.

    `prompt` and `digest` are hashes of the prompt, and of all of it.
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
    sketch: NDArray[np.uint64]
    characters: int | None = None
    included: bool = False
    reason: str = ""


def choose(candidates: Sequence[Candidate], rules: Rules) -> None:
    """Mark which candidates are included, and why or why not."""
    fit: list[Candidate] = []
    for candidate in candidates:
        candidate.reason = unfit(candidate, rules)
        if not candidate.reason:
            fit.append(candidate)
    seen: set[bytes] = set()
    by_problem: dict[tuple[str, bool], list[Candidate]] = defaultdict(list)
    for candidate in fit:
        if candidate.digest in seen:
            candidate.reason = "duplicate"
            continue
        seen.add(candidate.digest)
        # a choice among solutions is another task than a solution
        by_problem[candidate.key, candidate.kind is Kind.GENSELECT].append(candidate)
    for of_problem in by_problem.values():
        _choose_of_problem(of_problem, rules)


def unfit(candidate: Candidate, rules: Rules) -> str:
    """Return why a trace cannot be taken whatever the others are; empty: it can."""
    checks: tuple[tuple[bool, str], ...] = (
        (not candidate.complete, "incomplete: tokens are missing"),
        (not rules.wants(candidate.kind), f"a {candidate.kind} entry"),
        (candidate.sampled == 0, "nothing sampled: its mask is all zero"),
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


def _choose_of_problem(candidates: list[Candidate], rules: Rules) -> None:
    taken: list[Candidate] = []
    for candidate in _ordered(candidates, rules):
        if rules.per_problem is not None and len(taken) >= rules.per_problem:
            candidate.reason = f"over {rules.per_problem} of its problem"
        elif any(overlap(candidate.sketch, each.sketch) > rules.most_overlap for each in taken):
            candidate.reason = f"over {rules.most_overlap:g} in common with a chosen one"
        else:
            candidate.included = True
            candidate.reason = "right answer" if (candidate.reward or 0.0) > 0 else "wrong answer"
            taken.append(candidate)


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


def sketch(ids: Ids) -> NDArray[np.uint64]:
    """Return the least hashes of a trace's shingles, sorted; fewer where there are fewer."""
    if len(ids) < SHINGLE:
        return np.empty(0, np.uint64)
    windows = len(ids) - SHINGLE + 1
    hashes = np.zeros(windows, np.uint64)
    for place in range(SHINGLE):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + ids[place : place + windows]
    hashes ^= hashes >> np.uint64(29)
    hashes *= np.uint64(0xBF58476D1CE4E5B9)  # the finaliser of splitmix64 spreads near sums
    hashes ^= hashes >> np.uint64(32)
    return np.unique(np.partition(hashes, SKETCH)[:SKETCH] if windows > SKETCH else hashes)


def overlap(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    """Return the estimated share of shingles that two traces have in common, 0 to 1."""
    union = np.union1d(one, other)[:SKETCH]
    if not len(union):
        return 0.0
    common = np.isin(union, one) & np.isin(union, other)
    return float(common.mean())


def reward_of(trace: Trace) -> float | None:
    """Return 1 for the right answer, 0 for a wrong one, None where the right one is not known."""
    truth, answer = trace.text_of("truth"), trace.text_of("answer")
    if truth is None:
        return None
    return float(answer is not None and plain_answer(answer) == plain_answer(truth))


def plain_answer(answer: str) -> str:
    """Return an answer so that 007, 7 and 7.0 are one."""
    text = answer.strip()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else text
