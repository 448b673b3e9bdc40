"""Figures of one arm: by k, by kind of problem, by length, what they cost, how sure they were."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from server.evaluation.scored import Floats, ScoredArm, ScoredProblem
from server.evaluation.statistics.calibration import Calibration, auc_within, calibration
from server.evaluation.statistics.chance import run_variance
from server.evaluation.statistics.correlation import ErrorCorrelation, error_correlation
from server.evaluation.statistics.estimators import Vote, majority_at_k, pass_at_k
from server.evaluation.statistics.rates import rate
from voting.replay.statistics import Estimate, paired_interval


@dataclass(frozen=True, slots=True)
class AtK:
    """pass@k and maj@k over the problems with k attempts or more, and how many these are."""

    k: int
    passed: Estimate
    majority: Estimate
    problems: int


def at_k(arm: ScoredArm, k: int, seed: int) -> AtK | None:
    """Return the estimates at k; None where no problem has so many attempts."""
    passed = arm.by_problem(lambda problem: pass_at_k(len(problem.attempts), problem.right, k))
    known = int((~np.isnan(passed)).sum())
    if not known:
        return None
    majority = majority_rates(arm, k)
    return AtK(k, rate(passed, seed=seed), rate(majority, seed=seed), known)


def majority_rates(arm: ScoredArm, k: int) -> Floats:
    """Return the chance of each problem that most votes of k attempts are right; NaN below k."""

    def rate(problem: ScoredProblem) -> float:
        return majority_at_k(*_votes(problem), k)

    return arm.by_problem(rate)


def _votes(problem: ScoredProblem) -> tuple[list[Vote], set[str]]:
    """Return the attempts' votes, and which of them are right."""
    right = {a.record.key for a in problem.attempts if a.right and a.record.key is not None}
    return [attempt.record.key for attempt in problem.attempts], right


def run_variances(arm: ScoredArm, k: int) -> Floats:
    """Return by problem how much a majority of k varies from run to run; NaN below 2 k attempts."""

    def variance(problem: ScoredProblem) -> float:
        return run_variance(*_votes(problem), k)

    return arm.by_problem(variance)


def single_rates(arm: ScoredArm) -> Floats:
    """Return the share of right attempts of each problem."""
    return arm.by_problem(lambda problem: problem.right / len(problem.attempts))


@dataclass(frozen=True, slots=True)
class Group:
    """Problems of one kind: a single attempt's accuracy, and the majority's of all attempts."""

    name: str
    problems: int
    single: Estimate
    majority: Estimate
    tokens: float


def groups(arm: ScoredArm, label: Callable[[ScoredProblem], str | None], seed: int) -> list[Group]:
    """Return the figures of problems by a label, in its order; none where there is one label."""
    members: dict[str, list[ScoredProblem]] = defaultdict(list)
    for problem in arm.problems:
        name = label(problem)
        if name is not None:
            members[name].append(problem)
    if len(members) < 2:
        return []
    found = []
    for name, problems in sorted(members.items()):
        part = ScoredArm(name=name, problems=tuple(problems))
        votes = np.array([_whole_majority(problem) for problem in problems])
        tokens = np.mean([a.record.tokens for p in problems for a in p.attempts])
        found.append(
            Group(
                name, len(problems), rate(single_rates(part), seed=seed),
                rate(votes, seed=seed), float(tokens),
            )
        )  # fmt: skip
    return found


def _whole_majority(problem: ScoredProblem) -> float:
    return majority_at_k(*_votes(problem), len(problem.attempts))


def length_label(arm: ScoredArm) -> Callable[[ScoredProblem], str]:
    """Return what names a problem's third of the set, by its median attempt's tokens."""
    medians = {p.id: float(np.median([a.record.tokens for a in p.attempts])) for p in arm.problems}
    low, high = np.percentile(list(medians.values()), (100 / 3, 200 / 3))

    def label(problem: ScoredProblem) -> str:
        tokens = medians[problem.id]
        if tokens <= low:
            return f"1 shortest, to {low:,.0f} tokens"
        return f"2 middle, to {high:,.0f}" if tokens <= high else "3 longest"

    return label


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of right against wrong attempts.

    ``ratio`` is the geometric mean of right over wrong within problems that have both, with its
    interval by problem, None with fewer than two of these (``problems``): what one problem is like
    says nothing of others. ``pooled`` is the same over all attempts, which problems confound.
    """

    ratio: Estimate | None
    pooled: float
    problems: int


def lengths(arm: ScoredArm) -> Lengths:
    """Compare the lengths of right and wrong attempts, within problems and pooled."""
    pairs: list[tuple[float, float]] = []
    logs: dict[bool, list[float]] = {True: [], False: []}
    for problem in arm.problems:
        own: dict[bool, list[float]] = {True: [], False: []}
        for attempt in problem.attempts:
            own[attempt.right].append(float(np.log(max(1, attempt.record.tokens))))
        for right, values in own.items():
            logs[right] += values
        if own[True] and own[False]:
            pairs.append((float(np.mean(own[True])), float(np.mean(own[False]))))
    pooled = float("nan")
    if logs[True] and logs[False]:
        pooled = float(np.exp(np.mean(logs[True]) - np.mean(logs[False])))
    if len(pairs) < 2:
        return Lengths(None, pooled, len(pairs))
    middle = paired_interval(*np.array(pairs).T)
    ratio = Estimate(*(float(np.exp(v)) for v in (middle.mean, middle.low, middle.high)))
    return Lengths(ratio, pooled, len(pairs))


@dataclass(frozen=True, slots=True)
class Cost:
    """What an arm took, in all and for each problem that the server had right.

    ``solved`` is how many these are; where the server's answers are not recorded, how many the
    majority of all attempts has right. ``seconds`` are those of its solves, so GPU seconds on one
    GPU that solves one at a time; ``answer_s`` are the median and 90th percentile of the time to an
    answer. A value is NaN where no solve is recorded.
    """

    tokens: int
    tool_calls: int
    seconds: float
    solved: float
    answer_s: tuple[float, float]

    def per_solved(self, amount: float) -> float:
        """Return an amount for each solved problem; infinite where none is."""
        return amount / self.solved if self.solved else float("inf")


def cost(arm: ScoredArm) -> Cost:
    """Return what an arm took."""
    records = [attempt.record for problem in arm.problems for attempt in problem.attempts]
    live = [problem.live for problem in arm.problems if problem.live is not None]
    seconds = [one.seconds for one in live]
    middle, late = np.percentile(seconds, (50, 90)) if seconds else (float("nan"),) * 2
    return Cost(
        tokens=sum(record.tokens for record in records),
        tool_calls=sum(record.tool_calls for record in records),
        seconds=float(sum(seconds)) if seconds else float("nan"),
        solved=float(
            sum(one.right for one in live) if live else sum(map(_whole_majority, arm.problems))
        ),
        answer_s=(float(middle), float(late)),
    )


def vote_calibration(arm: ScoredArm) -> Calibration:
    """Return how well the leader's share of the attempts foretells that it is right."""
    shares, right = [], []
    for problem in arm.problems:
        keys = [a.record.key for a in problem.attempts if a.record.key is not None]
        leader = max(sorted(set(keys)), key=keys.count, default=None)
        shares.append(keys.count(leader) / len(problem.attempts) if leader is not None else 0.0)
        right.append(
            float(any(a.right for a in problem.attempts if a.record.key == leader))
            if leader is not None
            else 0.0
        )
    return calibration(np.array(shares), np.array(right))


#: What of an attempt may tell whether it is right, by name: higher is taken for righter.
SIGNALS: dict[str, Callable[[ScoredProblem], list[float | None]]] = {
    "fewer tokens": lambda p: [-float(a.record.tokens) for a in p.attempts],
    "fewer tool errors": lambda p: [-float(a.record.tool_errors) for a in p.attempts],
    "more tool calls": lambda p: [float(a.record.tool_calls) for a in p.attempts],
    "lower entropy": lambda p: [
        None if a.record.scores is None or a.record.scores.mean_entropy is None
        else -a.record.scores.mean_entropy for a in p.attempts
    ],
    "mean confidence": lambda p: [
        None if a.record.scores is None else a.record.scores.mean_confidence for a in p.attempts
    ],
    "lowest group confidence": lambda p: [
        None if a.record.scores is None else a.record.scores.lowest_group for a in p.attempts
    ],
    "code printed the answer": lambda p: [
        None if a.record.printed is None else float(a.record.printed) for a in p.attempts
    ],
}  # fmt: skip


def signals(arm: ScoredArm, seed: int) -> dict[str, tuple[Estimate, int]]:
    """Return for each signal that is known how well it tells right attempts within problems."""
    found = {}
    for name, of in SIGNALS.items():
        values, right = [], []
        for problem in arm.problems:
            told = [(v, a.right) for v, a in zip(of(problem), problem.attempts, strict=True)]
            known = [(v, r) for v, r in told if v is not None]
            values.append(np.array([v for v, _ in known], np.float64))
            right.append(np.array([float(r) for _, r in known]))
        measured, problems = auc_within(values, right, seed=seed)
        if measured is not None and any(len(set(v.tolist())) > 1 for v in values):
            found[name] = (measured, problems)
    return found


def errors_together(arm: ScoredArm, seed: int) -> ErrorCorrelation:
    """Return how far the errors of one problem's attempts go together."""
    right = [[a.right for a in p.attempts] for p in arm.problems]
    wrong = [
        [a.record.key for a in p.attempts if a.record.key is not None and not a.right]
        for p in arm.problems
    ]
    return error_correlation(right, wrong, seed=seed)
